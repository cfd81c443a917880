//! The folders of a run: claimed for this process alone, cleaned of an earlier run, checked to be writable.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::run::RunError;

/// Plans and control documents, beside the results of their run: what a killed run leaves there, the next one removes.
const CONTROL: &str = ".control";

/// Folders of one run.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    /// Plans and control documents; gone with the run.
    pub(crate) control: PathBuf,
    /// Output of the child processes; kept with the results.
    pub(crate) logs: PathBuf,
}

/// A results folder that no other run may write to for as long as this lives. The kernel gives it back, however the process ends.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) folders: Folders,
    _control: TempDir,
    _lock: File,
}

/// Makes the folder if need be and locks it.
pub(crate) fn lock(folder: &Path) -> Result<File, RunError> {
    let write = |error| RunError::Write(folder.to_path_buf(), error);
    if folder.exists() && !folder.is_dir() {
        let name = folder.display();
        return Err(RunError::Usage(format!("-o {name}: this is a file; name a folder for the results with -o DIR")));
    }
    fs::create_dir_all(folder).map_err(write)?;
    let file = File::open(folder).map_err(write)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(RunError::Usage(format!(
            "-o {}: another run is writing its results there; wait for its end or name another folder with -o DIR",
            folder.display()
        ))),
        // A file system without locks keeps nobody from running.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
    }
}

/// Makes the folders of a run; fails early where results could not be written at its end.
pub(crate) fn claim(results: &Path) -> Result<Claim, RunError> {
    let lock = lock(results)?;
    let write = |path: &Path| {
        let path = path.to_path_buf();
        move |error| RunError::Write(path, error)
    };
    let logs = results.join("logs");
    fs::create_dir_all(&logs).map_err(write(&logs))?;
    // What an earlier run left must not be taken for this one's; files that no run writes stay.
    let ours = |name: &str| {
        matches!(name, "summary.json" | "report.html" | "junit.xml")
            || [".hlog", ".hgrm", ".log"].iter().any(|ending| name.ends_with(ending))
    };
    for folder in [results, &logs] {
        for old in fs::read_dir(folder).into_iter().flatten().flatten() {
            if old.file_name().to_str().is_some_and(ours) {
                let _ = fs::remove_file(old.path());
            }
        }
    }
    let control = control(results)?;
    Ok(Claim { folders: Folders { control: control.path().to_path_buf(), logs }, _control: control, _lock: lock })
}

/// The folder for plans and control documents, removed when dropped. The results folder has to be locked.
pub(crate) fn control(results: &Path) -> Result<TempDir, RunError> {
    let write = |error| RunError::Write(results.to_path_buf(), error);
    // Absolute: children find it wherever they are started.
    let home = std::path::absolute(results).map_err(write)?;
    let _ = fs::remove_dir_all(home.join(CONTROL));
    tempfile::Builder::new().prefix(CONTROL).rand_bytes(0).tempdir_in(home).map_err(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claimed_folder_is_refused_until_it_is_given_back() {
        let folder = tempfile::tempdir().unwrap();
        let results = folder.path().join("deep/results");
        let first = claim(&results).unwrap();
        let refused = claim(&results).unwrap_err().to_string();
        assert!(refused.contains("deep/results") && refused.contains("-o DIR"), "{refused}");
        drop(first);
        assert!(!results.join(CONTROL).exists(), "gone with the run");
        claim(&results).unwrap();
    }

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_is_not_ours_stays() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(CONTROL)).unwrap();
        for name in [".control/sink-a.json", "summary.json", "notes.txt"] {
            fs::write(folder.path().join(name), "old").unwrap();
        }
        let claim = claim(folder.path()).unwrap();
        assert_eq!(fs::read_dir(&claim.folders.control).unwrap().count(), 0);
        assert!(!folder.path().join("summary.json").exists());
        assert!(folder.path().join("notes.txt").exists());
    }

    #[test]
    fn a_file_is_no_folder() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let refused = claim(file.path()).unwrap_err().to_string();
        assert!(refused.contains("this is a file"), "{refused}");
    }
}
