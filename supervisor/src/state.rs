//! What the supervisor did and saw: kept in the pod's folder, so that a restart of the container repeats nothing.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use protocol::{ChildState, End, Executed, SupervisorReport};

const FILE: &str = "supervisor.json";
/// Newest entries kept: more than a control document may hold.
const MAX_EXECUTED: usize = 2048;
const MAX_ENDS: usize = 256;
/// An end that nobody lived to tell: the whole container was killed, or asked to end by the kubelet.
const STARTED_AGAIN: &str = "the container was started again";

/// The record behind `/supervisor`.
#[derive(Debug)]
pub(crate) struct Record {
    file: Option<PathBuf>,
    report: Mutex<SupervisorReport>,
}

impl Record {
    /// Goes on with what an earlier container of the same pod wrote.
    pub(crate) fn open(folder: Option<&Path>, pod: Option<String>) -> anyhow::Result<Self> {
        let file = folder.map(|folder| folder.join(FILE));
        let earlier = match &file {
            None => None,
            Some(file) => read(file).with_context(|| format!("{}: remove it", file.display()))?,
        };
        let earlier = earlier.filter(|earlier| pod.as_ref().is_none_or(|pod| *pod == earlier.pod));
        let now = unix_ms();
        let report = match earlier {
            Some(earlier) => started_again(earlier, now),
            None => SupervisorReport {
                pod: pod.unwrap_or_else(|| telemetry::cpu::incarnation().to_owned()),
                first_start: now,
                since: now,
                ..SupervisorReport::default()
            },
        };
        let record = Self { file, report: Mutex::new(report) };
        if let Some(folder) = folder {
            record
                .write()
                .with_context(|| format!("cannot write into {}: give a writable folder", folder.display()))?;
        }
        Ok(record)
    }

    fn lock(&self) -> MutexGuard<'_, SupervisorReport> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn report(&self) -> SupervisorReport {
        self.lock().clone()
    }

    pub(crate) fn is_done(&self, id: u64) -> bool {
        self.lock().executed.iter().any(|done| done.id == id)
    }

    pub(crate) fn first_start(&self) -> u64 {
        self.lock().first_start
    }

    pub(crate) fn started(&self, pid: u32) {
        self.lock().child = Some(ChildState { pid, since: unix_ms() });
    }

    pub(crate) fn gone(&self) {
        self.lock().child = None;
    }

    pub(crate) fn relayed(&self, revision: &str) {
        revision.clone_into(&mut self.lock().revision);
    }

    /// Before the blow falls: it is better missed than repeated.
    pub(crate) fn executed(&self, id: u64) {
        self.change(|report| {
            keep_newest(&mut report.executed, MAX_EXECUTED);
            report.executed.push(Executed { id, executed_at: unix_ms(), back_at: None });
        });
    }

    /// The process runs again after these blows.
    pub(crate) fn back(&self, ids: &[u64]) {
        let now = unix_ms();
        self.change(|report| {
            for done in report.executed.iter_mut().filter(|done| ids.contains(&done.id)) {
                done.back_at.get_or_insert(now);
            }
        });
    }

    pub(crate) fn ended(&self, how: &str) {
        self.change(|report| {
            keep_newest(&mut report.ends, MAX_ENDS);
            report.ends.push(End { at: unix_ms(), how: how.to_owned() });
        });
    }

    fn change(&self, change: impl FnOnce(&mut SupervisorReport)) {
        change(&mut self.lock());
        if let Err(error) = self.write() {
            tracing::warn!(%error, "the supervisor's record cannot be written: a restart of the container forgets it");
        }
    }

    fn write(&self) -> io::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        // The lock is held: of two writers the later one has the newer record.
        let report = self.lock();
        replace(file, &serde_json::to_vec(&*report)?)
    }
}

/// The record of a pod's earlier container, as the next one goes on with it.
fn started_again(mut report: SupervisorReport, now: u64) -> SupervisorReport {
    let told = report.ends.last().is_some_and(|end| end.at >= report.since && end.how != STARTED_AGAIN);
    if !told {
        keep_newest(&mut report.ends, MAX_ENDS);
        report.ends.push(End { at: now, how: STARTED_AGAIN.to_owned() });
    }
    SupervisorReport { child: None, since: now, ..report }
}

fn keep_newest<T>(list: &mut Vec<T>, max: usize) {
    if list.len() >= max {
        list.drain(..=list.len() - max);
    }
}

fn read(file: &Path) -> anyhow::Result<Option<SupervisorReport>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes).context("not a supervisor's record")?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whole or not at all: a reader never sees half a document. Folders above are made.
pub(crate) fn replace(file: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let unfinished = file.with_extension("new");
    fs::File::create(&unfinished)?.write_all(content)?;
    fs::rename(unfinished, file)
}

pub(crate) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_container_remembers_and_a_new_pod_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deeper");
        let open = |pod: &str| Record::open(Some(&path), Some(pod.to_owned())).unwrap();
        let first = open("a");
        first.started(7);
        first.executed(41);
        first.ended("exit status 101");
        first.back(&[41]);
        let report = first.report();
        assert_eq!(report.child.map(|child| child.pid), Some(7));
        assert!(report.executed[0].back_at >= Some(report.executed[0].executed_at));

        let again = open("a");
        assert!(again.is_done(41) && !again.is_done(42));
        let since = again.report().since;
        assert_eq!(again.report(), SupervisorReport { child: None, since, ..report }, "its end was told");
        let other = open("b").report();
        assert_eq!((other.pod.as_str(), other.executed.len(), other.ends.len()), ("b", 0, 0));
    }

    #[test]
    fn a_container_that_ends_without_a_word_is_told_of_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Record::open(Some(folder.path()), Some("a".to_owned())).unwrap();
        open();
        for restarts in 1..3 {
            let report = open().report();
            assert_eq!(report.ends.len(), restarts);
            assert_eq!(report.ends[restarts - 1], End { at: report.since, how: STARTED_AGAIN.to_owned() });
        }
    }

    #[test]
    fn without_an_identity_the_first_one_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let first = Record::open(Some(folder.path()), None).unwrap().report();
        assert!(!first.pod.is_empty() && first.first_start > 0);
        assert_eq!(Record::open(Some(folder.path()), None).unwrap().report().pod, first.pod);
        fs::write(folder.path().join(FILE), "{").unwrap();
        assert!(Record::open(Some(folder.path()), None).is_err());
        assert!(Record::open(None, None).is_ok(), "nothing is kept where there is no folder");
    }

    #[test]
    fn the_record_is_bounded() {
        let mut list: Vec<u32> = (0..5).collect();
        keep_newest(&mut list, 5);
        assert_eq!(list, [1, 2, 3, 4]);
        keep_newest(&mut list, 5);
        assert_eq!(list.len(), 4);
    }
}
