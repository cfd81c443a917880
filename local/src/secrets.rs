//! `--secret NAME/KEY=PATH` and its stand-ins for a cluster's Secrets: references become files.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error;

/// Files by Secret (or ConfigMap) name and key.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    files: BTreeMap<(String, String), PathBuf>,
}

/// Why a reference has no file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SecretError {
    #[error("{0:?} is not NAME/KEY=PATH: write for example --secret mimir/password=/run/secrets/password")]
    Malformed(String),
    #[error("{field} names key {key:?} of {name:?}, which no file stands for: add --secret {name}/{key}=PATH")]
    Missing { field: String, name: String, key: String },
    #[error("{field}: cannot read {path:?}: {reason}")]
    Unreadable { field: String, path: PathBuf, reason: String },
}

impl Secrets {
    /// Takes the arguments of `--secret` as the user wrote them.
    pub fn parse(arguments: &[String]) -> Result<Self, SecretError> {
        let mut secrets = Self::default();
        for argument in arguments {
            let entry: Entry = argument.parse()?;
            secrets.files.insert((entry.name, entry.key), entry.path);
        }
        Ok(secrets)
    }

    /// The file for a key of a Secret; it must be readable now, not only when the first request leaves.
    pub fn file(&self, field: &str, name: &str, key: &str) -> Result<PathBuf, SecretError> {
        let path = self.files.get(&(name.to_owned(), key.to_owned())).ok_or_else(|| SecretError::Missing {
            field: field.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
        })?;
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        std::fs::File::open(&absolute).map_err(|error| SecretError::Unreadable {
            field: field.to_owned(),
            path: absolute.clone(),
            reason: error.to_string(),
        })?;
        Ok(absolute)
    }
}

struct Entry {
    name: String,
    key: String,
    path: PathBuf,
}

impl FromStr for Entry {
    type Err = SecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || SecretError::Malformed(text.to_owned());
        let (reference, path) = text.split_once('=').ok_or_else(malformed)?;
        let (name, key) = reference.split_once('/').ok_or_else(malformed)?;
        if name.is_empty() || key.is_empty() || path.is_empty() {
            return Err(malformed());
        }
        Ok(Self { name: name.to_owned(), key: key.to_owned(), path: path.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_given_and_names_what_was_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let secrets = Secrets::parse(&[format!("mimir/password={}", file.path().display())]).unwrap();
        assert_eq!(secrets.file("spec", "mimir", "password").unwrap(), file.path());
        let missing = secrets.file("spec.backend.basicAuth.username", "mimir", "user").unwrap_err();
        assert!(missing.to_string().contains("--secret mimir/user=PATH"), "{missing}");
    }

    #[test]
    fn refuses_what_is_not_a_secret() {
        for wrong in ["", "a", "a=b", "a/=b", "/k=p", "a/k="] {
            assert!(Secrets::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }
}
