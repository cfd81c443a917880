//! A command line as a person would type it.

use std::ffi::OsString;

/// `floodmark` with these arguments, quoted where a shell would otherwise read more into them.
pub(crate) fn command(arguments: impl Iterator<Item = OsString>) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+".contains(c);
    arguments.fold("floodmark".to_owned(), |line, argument| {
        let argument = argument.to_string_lossy();
        if !argument.is_empty() && argument.chars().all(plain) {
            return format!("{line} {argument}");
        }
        format!("{line} '{}'", argument.replace('\'', r"'\''"))
    })
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn only_what_a_shell_would_change_is_quoted() {
        let line = |arguments: &[&str]| command(arguments.iter().map(Into::into));
        assert_eq!(
            line(&["run", "a/b.yaml", "-o", "my results", "--secret", "n/k=/p"]),
            "floodmark run a/b.yaml -o 'my results' --secret n/k=/p"
        );
        assert_eq!(line(&["", "it's", "$x*"]), r"floodmark '' 'it'\''s' '$x*'");
    }
}
