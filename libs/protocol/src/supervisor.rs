//! What a supervisor, process 1 of a pod, tells about the role that it runs.

use serde::{Deserialize, Serialize};

/// `GET /supervisor`. Survives restarts of the container, not of the pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SupervisorReport {
    /// Identity of the pod: another one means that the pod was replaced.
    pub pod: String,
    /// When the first container of the pod started, Unix milliseconds.
    pub first_start: u64,
    /// When the present container started, Unix milliseconds: another one means that the role lost what it held in memory.
    pub since: u64,
    /// The role's process; `None` while there is none.
    pub child: Option<ChildState>,
    /// Chaos entries carried out, oldest first.
    pub executed: Vec<Executed>,
    /// Ends that nobody asked for, oldest first.
    pub ends: Vec<End>,
    /// `resourceVersion` of the control document that was handed on last; empty without one.
    pub revision: String,
}

/// The process of the role.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChildState {
    pub pid: u32,
    /// Unix milliseconds.
    pub since: u64,
}

/// A chaos entry that was carried out. Unix milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Executed {
    /// As in the control document.
    pub id: u64,
    pub executed_at: u64,
    /// When the process was running again.
    pub back_at: Option<u64>,
}

/// An end of the role's process that nobody asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct End {
    /// Unix milliseconds.
    pub at: u64,
    /// `exit status 101`, `killed by signal 9`.
    pub how: String,
}
