//! What is wrong with a document, where, and what to write instead.

use std::fmt;

/// One mistake. `Display` is `file:line:column: field: message`; the field is left out where there is none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Problem {
    /// The name of the file as it was given.
    pub file: String,
    /// The line, from 1; 0 when the document did not come from a file.
    pub line: usize,
    /// The column in characters, from 1; 0 when the document did not come from a file.
    pub column: usize,
    /// The field path, such as `spec.stages[0].rate`; empty for the document itself.
    pub field: String,
    /// What is wrong and the fix.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        if !self.file.is_empty() {
            f.write_str(": ")?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}

/// The mistakes of a set of files; `Display` is one line a problem, without a line break at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    /// In the order of the text; never empty when it is an error, and cut off where nobody reads on.
    pub shown: Vec<Problem>,
    /// How many there are, those that are not shown included.
    pub total: usize,
    /// In how many files they are.
    pub files: usize,
}

impl Problems {
    /// What a command prints below the list, such as `2 problems in 1 file`.
    pub fn closing(&self) -> String {
        let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
        let counts = format!("{} in {}", plural(self.total, "problem"), plural(self.files, "file"));
        if self.shown.len() < self.total {
            format!("{counts}, of which the first {} are shown", self.shown.len())
        } else {
            counts
        }
    }

    /// Adds the problems of other files.
    pub fn append(&mut self, mut other: Self) {
        self.shown.append(&mut other.shown);
        self.total += other.total;
        self.files += other.files;
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.shown.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
