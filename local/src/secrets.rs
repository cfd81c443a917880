//! `--secret NAME/KEY=PATH` and its stand-ins for a cluster's Secrets: references become files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use thiserror::Error;

/// A key of a Secret holds at most this much in a cluster.
const MAX_FILE: u64 = 1 << 20;

/// Files by Secret (or ConfigMap) name and key.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    files: BTreeMap<(String, String), PathBuf>,
    used: Used<(String, String)>,
}

/// Why a reference has no file.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SecretError {
    #[error("--secret {0} is not NAME/KEY=PATH: write for example --secret mimir/password=/run/secrets/password")]
    Malformed(String),
    #[error("--secret {0}: this key has a file already; keep one of them")]
    Repeated(String),
    #[error("--secret {argument}: {why}")]
    File { argument: String, why: String },
    #[error("{field} names key {key:?} of {name:?}, which no file stands for: add --secret {name}/{key}=PATH")]
    Missing { field: String, name: String, key: String },
}

/// What was asked for; all clones are one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Used<T>(Arc<Mutex<BTreeSet<T>>>);

impl<T: Ord> Used<T> {
    pub(crate) fn add(&self, one: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(one);
    }

    pub(crate) fn has(&self, one: &T) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(one)
    }
}

impl Secrets {
    /// Takes the arguments of `--secret` as the user wrote them. Every file has to be usable, named by a document or not.
    pub fn parse(arguments: &[String]) -> Result<Self, SecretError> {
        let mut secrets = Self::default();
        for argument in arguments {
            let entry: Entry = argument.parse()?;
            check(&entry.path).map_err(|why| SecretError::File { argument: argument.clone(), why })?;
            let path = std::path::absolute(&entry.path).unwrap_or(entry.path);
            if secrets.files.insert((entry.name, entry.key), path).is_some() {
                return Err(SecretError::Repeated(argument.clone()));
            }
        }
        Ok(secrets)
    }

    /// The file for a key of a Secret, absolute.
    pub fn file(&self, field: &str, name: &str, key: &str) -> Result<PathBuf, SecretError> {
        let reference = (name.to_owned(), key.to_owned());
        let path = self.files.get(&reference).ok_or_else(|| SecretError::Missing {
            field: field.to_owned(),
            name: name.to_owned(),
            key: key.to_owned(),
        })?;
        self.used.add(reference);
        Ok(path.clone())
    }

    /// The arguments that gave these files.
    pub(crate) fn arguments(&self, paths: &[&Path]) -> Vec<String> {
        let named = self.files.iter().filter(|(_, path)| paths.contains(&path.as_path()));
        named.map(|(reference, path)| argument(reference, path)).collect()
    }

    /// Arguments that no document has asked for until now.
    pub(crate) fn unused(&self) -> Vec<String> {
        let unused = self.files.iter().filter(|(reference, _)| !self.used.has(reference));
        unused.map(|(reference, path)| argument(reference, path)).collect()
    }
}

fn argument((name, key): &(String, String), path: &Path) -> String {
    format!("--secret {name}/{key}={}", path.display())
}

/// A small regular file with something in it: an empty password or token is what a failed script leaves.
fn check(path: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let kind = std::fs::metadata(path).map_err(text)?;
    if !kind.is_file() {
        // Parts of the run open it on their own, again and again: a pipe would serve the first of them only.
        let what = if kind.is_dir() { "a folder" } else { "a pipe or device" };
        return Err(format!("this is {what}; name a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(text)?.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(text)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("larger than {MAX_FILE} bytes"));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("the file is empty; a Secret's value is not".to_owned());
    }
    Ok(())
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

/// A list for people: `a, b and c`.
pub(crate) fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    match items.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => items.concat(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn finds_what_was_given_and_names_what_was_not() {
        let file = file("secret\n");
        let secrets = Secrets::parse(&[format!("mimir/password={}", file.path().display())]).unwrap();
        assert_eq!(secrets.unused().len(), 1);
        assert_eq!(secrets.file("spec", "mimir", "password").unwrap(), file.path());
        assert!(secrets.clone().unused().is_empty());
        let missing = secrets.file("spec.backend.basicAuth.username", "mimir", "user").unwrap_err();
        assert!(missing.to_string().contains("--secret mimir/user=PATH"), "{missing}");
    }

    #[test]
    fn refuses_what_is_not_a_secret() {
        for wrong in ["", "a", "a=b", "a/=b", "/k=p", "a/k="] {
            assert!(Secrets::parse(&[wrong.to_owned()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_file_is_checked_and_the_argument_is_named() {
        let (empty, good) = (file("\n"), file("x"));
        for (path, why) in [
            ("/", "folder"),
            ("/dev/null", "pipe or device"),
            ("/nowhere/at/all", "No such file"),
            (empty.path().to_str().unwrap(), "empty"),
        ] {
            let argument = format!("mimir/password={path}");
            let error = Secrets::parse(std::slice::from_ref(&argument)).unwrap_err().to_string();
            assert!(error.contains(&argument) && error.contains(why), "{error}");
        }
        let twice = format!("a/b={}", good.path().display());
        assert_eq!(Secrets::parse(&[twice.clone(), twice.clone()]).unwrap_err(), SecretError::Repeated(twice));
    }
}
