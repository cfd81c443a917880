//! A cluster by `hack/cluster` that ends with this process, however that ends.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::shared::root;

/// Ends the cluster and removes its folder when its standard input closes, which the kernel does for it at the latest.
const GUARDIAN: &str = r#"
"$0" "$@" up >"$FOLDER/up.log" 2>&1 && echo up
cat >/dev/null
"$0" "$@" down >/dev/null 2>&1
rm -rf "$FOLDER"
"#;

pub(crate) struct Guarded {
    folder: PathBuf,
    guardian: Child,
}

impl Guarded {
    /// Starts `hack/cluster MODE… up` from these binaries; the error holds what it said.
    pub(crate) fn start(mode: &[&str], binaries: &Path) -> Result<Self, String> {
        let folder = tempfile::tempdir_in("/var/tmp").map_err(|error| error.to_string())?.keep();
        let mut guardian = Command::new("sh")
            .args(["-c", GUARDIAN])
            .arg(root().join("hack/cluster"))
            .args(mode)
            .env("FOLDER", &folder)
            .env("FLOODMARK_CLUSTER_DIR", folder.join("cluster"))
            .env("FLOODMARK_CONTROLPLANE", binaries)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // What ends this process, such as Ctrl-C, does not end the one that clears up after it.
            .process_group(0)
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut line = String::new();
        BufReader::new(guardian.stdout.take().unwrap()).read_line(&mut line).map_err(|error| error.to_string())?;
        let guarded = Self { folder, guardian };
        if line != "up\n" {
            let log = std::fs::read_to_string(guarded.folder.join("up.log")).unwrap_or_default();
            return Err(format!("hack/cluster {} up: {log}", mode.join(" ")));
        }
        Ok(guarded)
    }

    /// What `FLOODMARK_CLUSTER_DIR` names.
    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.join("cluster")
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.guardian.stdin.take());
        let _ = self.guardian.wait();
    }
}
