//! What is wrong with a document, where, and what to write instead.

use std::fmt::{self, Write as _};

/// One mistake. `Display` is `file:line:column: field: message`, on one line; the field is left out where there is none.
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
            on_one_line(f, &self.field)?;
            f.write_str(": ")?;
        }
        on_one_line(f, &self.message)
    }
}

/// A name or a text of the document may hold line breaks, or what a terminal obeys.
fn on_one_line(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.chars().try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })
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

#[cfg(test)]
mod tests {
    use super::Problem;

    #[test]
    fn a_problem_is_one_line_of_plain_text() {
        let problem = Problem {
            file: "f.yaml".into(),
            line: 1,
            column: 2,
            field: "spec.a\nb".into(),
            message: "\u{1b}[2Jé is wrong".into(),
        };
        assert_eq!(problem.to_string(), "f.yaml:1:2: spec.a\\nb: \\u{1b}[2Jé is wrong");
    }
}
