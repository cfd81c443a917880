//! Process 1 of a pod: starts one role, reaps, forwards signals, and breaks it when the control document says so.
//!
//! Knows: one child process, and one object of the Kubernetes API, which it hands to the role as files.
//! Refuses to know: what the role does, and everything else in the cluster.
