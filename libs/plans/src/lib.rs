//! From documents to the plans of the roles, the same for every engine.
//!
//! Knows: which field of a document ends up in which plan.
//! Refuses to know: where a Secret is kept, what a process or a pod is.
//!
//! Documents are taken as checked (`api::check_*`): what a union leaves out becomes an empty value here, not an error.

mod endpoint;
mod receiver;
mod sink;
mod test;

use std::path::PathBuf;

pub use endpoint::endpoint;
pub use receiver::{ReceiverAt, receiver_control, store};
pub use sink::{first_control, ownership_by, sink_plan};
pub use test::{Test, chaos_entries, conductor_plan, read_back_plan, target};

/// The kind of object that a referenced key is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kept {
    Secret,
    ConfigMap,
}

/// What an engine has to say about references to Secrets and `ConfigMaps`.
pub trait Files {
    type Error;

    /// The file in which a role finds the key of that object. `field` is the document's, for messages.
    ///
    /// # Errors
    /// The engine has no file for it.
    fn file(&self, field: &str, kept: Kept, name: &str, key: &str) -> Result<PathBuf, Self::Error>;
}

/// An object that is referred to.
#[derive(Debug)]
pub struct Named<'a, S> {
    pub name: &'a str,
    pub spec: &'a S,
}

impl<S> Clone for Named<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Named<'_, S> {}

pub(crate) fn secret<F: Files>(files: &F, key: &api::SecretKey, field: &str) -> Result<PathBuf, F::Error> {
    files.file(field, Kept::Secret, &key.name, &key.key)
}

pub(crate) fn certificate<F: Files>(
    files: &F,
    source: Option<&api::SecretOrConfigMap>,
    field: &str,
) -> Result<Option<PathBuf>, F::Error> {
    let Some(source) = source else { return Ok(None) };
    let kept = match (&source.secret, &source.config_map) {
        (Some(key), _) => (Kept::Secret, key),
        (None, Some(key)) => (Kept::ConfigMap, key),
        (None, None) => return Ok(None),
    };
    files.file(field, kept.0, &kept.1.name, &kept.1.key).map(Some)
}
