//! `/metrics`, `/healthz` and `/readyz` for any server of this workspace.

use bytes::Bytes;
use http::{Request, Response};

use crate::Registry;

/// The operational side of a role's server.
#[derive(Clone, Default)]
pub struct Ops {
    registry: Registry,
}

impl Ops {
    /// Not ready yet, with the process' own metrics registered.
    pub fn new(registry: Registry) -> Self {
        Self { registry }
    }
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
    /// From now on `/readyz` answers 200.
    pub fn set_ready(&self) {}
    /// From now on `/readyz` answers 503 with this reason.
    pub fn set_not_ready(&self, _reason: &str) {}
    pub fn is_ready(&self) -> bool {
        todo!()
    }
    /// Answers GET and HEAD of the three paths; `None` for any other path.
    pub fn handle<B>(&self, _request: &Request<B>) -> Option<Response<Bytes>> {
        todo!()
    }
}
