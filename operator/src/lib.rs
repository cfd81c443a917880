//! The engine for Kubernetes: makes objects of documents, watches them, and says how they are.
//!
//! Knows: the objects of a cluster.
//! Refuses to know: what is sent, owned, accounted or judged; that is the same code as on one machine.
