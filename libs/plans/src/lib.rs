//! From documents to the plans of the roles, the same for every engine.
//!
//! Knows: which field of a document ends up in which plan.
//! Refuses to know: where a Secret is kept, what a process or a pod is.
