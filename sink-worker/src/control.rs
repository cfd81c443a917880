//! The control document: a file that the engine replaces. Read afresh before anything is accepted, then watched.

use std::path::{Path, PathBuf};

use ownership::ControlDocument;

/// Largest control document read.
const MAX_BYTES: u64 = 4 << 20;

/// Why what the file holds now is not obeyed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// It cannot be read.
    #[error("control document {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not what the engine writes.
    #[error("control document {path}: {why}")]
    Content {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// The file and what was obeyed of it last.
#[derive(Debug)]
pub(crate) struct Control {
    path: PathBuf,
    text: Vec<u8>,
    known: Option<ControlDocument>,
}

impl Control {
    /// Nothing read yet.
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), text: Vec::new(), known: None }
    }

    /// What is obeyed.
    pub(crate) fn known(&self) -> Option<&ControlDocument> {
        self.known.as_ref()
    }

    /// Reads the file; the document if it is another one than before and may replace it.
    pub(crate) async fn poll(&mut self) -> Result<Option<&ControlDocument>, ControlError> {
        let text = self.read().await.map_err(|source| ControlError::Read { path: self.path.clone(), source })?;
        if text == self.text {
            return Ok(None);
        }
        let taken = self.take(&text);
        self.text = text;
        match taken {
            Ok(true) => Ok(self.known.as_ref()),
            Ok(false) => Ok(None),
            Err(why) => Err(ControlError::Content { path: self.path.clone(), why }),
        }
    }

    async fn read(&self) -> std::io::Result<Vec<u8>> {
        use tokio::io::AsyncReadExt as _;
        let mut text = Vec::new();
        let file = tokio::fs::File::open(&self.path).await?;
        file.take(MAX_BYTES).read_to_end(&mut text).await?;
        Ok(text)
    }

    /// Whether it is another document than the one that is obeyed; then it is obeyed from now on.
    pub(crate) fn take(&mut self, text: &[u8]) -> Result<bool, String> {
        let document: ControlDocument = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        match &self.known {
            Some(known) => document.supersedes(known),
            None => document.validate(),
        }
        .map_err(|error| error.to_string())?;
        let news = self.known.as_ref() != Some(&document);
        self.known = Some(document);
        Ok(news)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(epoch: u64, uid: &str) -> String {
        format!(
            r#"{{"sinkUid":"{uid}","epoch":{epoch},"phase":"Stable","from":1,"to":1,"lanes":2,"addresses":["127.0.0.1:1"]}}"#
        )
    }

    #[tokio::test]
    async fn a_lower_epoch_of_the_same_sink_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.json");
        let mut control = Control::new(&path);
        assert!(matches!(control.poll().await, Err(ControlError::Read { .. })));
        std::fs::write(&path, text(4, "a")).unwrap();
        assert_eq!(control.poll().await.unwrap().unwrap().epoch, 4);
        assert!(control.poll().await.unwrap().is_none(), "unchanged");
        std::fs::write(&path, text(3, "a")).unwrap();
        assert!(matches!(control.poll().await, Err(ControlError::Content { .. })));
        assert!(control.poll().await.unwrap().is_none(), "told once");
        assert_eq!(control.known().unwrap().epoch, 4);
        std::fs::write(&path, "{").unwrap();
        assert!(control.poll().await.is_err());
        std::fs::write(&path, text(5, "a")).unwrap();
        assert_eq!(control.poll().await.unwrap().unwrap().epoch, 5);
        std::fs::write(&path, text(1, "b")).unwrap();
        assert_eq!(control.poll().await.unwrap().unwrap().epoch, 1, "another sink");
    }
}
