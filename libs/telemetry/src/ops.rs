//! `/metrics`, `/healthz` and `/readyz` for any server of this workspace.

use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};

use crate::{Registry, cpu};

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The operational side of a role's server. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Ops {
    registry: Registry,
    /// `None` when ready, else the reason why not.
    waiting: Arc<RwLock<Option<String>>>,
}

impl Ops {
    /// Not ready yet, with the process' own metrics registered.
    pub fn new(registry: Registry) -> Self {
        register_process(&registry);
        Self { registry, waiting: Arc::new(RwLock::new(Some("starting".to_owned()))) }
    }

    /// The metrics it serves.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// From now on `/readyz` answers 200.
    pub fn set_ready(&self) {
        *self.waiting.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// From now on `/readyz` answers 503 with this reason.
    pub fn set_not_ready(&self, reason: &str) {
        *self.waiting.write().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }

    /// What `/readyz` says.
    pub fn is_ready(&self) -> bool {
        self.waiting.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Answers GET and HEAD of the three paths (405 for other methods); `None` for any other path.
    pub fn handle<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        let path = request.uri().path();
        if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
            return None;
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut response = response(StatusCode::METHOD_NOT_ALLOWED, TEXT, "use GET\n".to_owned());
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Some(response);
        }
        Some(match path {
            "/metrics" => response(StatusCode::OK, METRICS, self.registry.render()),
            "/healthz" => response(StatusCode::OK, TEXT, "ok\n".to_owned()),
            _ => match &*self.waiting.read().unwrap_or_else(PoisonError::into_inner) {
                None => response(StatusCode::OK, TEXT, "ready\n".to_owned()),
                Some(reason) => response(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not ready: {reason}\n")),
            },
        })
    }
}

impl Default for Ops {
    fn default() -> Self {
        Self::new(Registry::new())
    }
}

fn response(status: StatusCode, content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The names every Prometheus client uses for these, and the run-queue wait, which has no common name.
fn register_process(registry: &Registry) {
    registry.counter_fn("process_cpu_seconds_total", "CPU time spent, in seconds.", &[], || {
        cpu::usage().total.as_secs_f64()
    });
    registry
        .gauge_fn("process_resident_memory_bytes", "Resident memory, in bytes.", &[], || cpu::usage().rss_bytes as f64);
    registry.gauge_fn(
        "floodmark_process_run_queue_wait_seconds",
        "Time that living threads were runnable but had no CPU, in seconds.",
        &[],
        || cpu::usage().run_queue_wait.as_secs_f64(),
    );
    registry
        .gauge(
            "floodmark_build_info",
            "Always 1; the labels say which build and which incarnation of the process this is.",
            &[("version", env!("CARGO_PKG_VERSION")), ("incarnation", cpu::incarnation())],
        )
        .set(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(ops: &Ops, method: &str, path: &str) -> Option<(u16, String)> {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        ops.handle(&request).map(|r| (r.status().as_u16(), String::from_utf8(r.body().to_vec()).unwrap()))
    }

    #[test]
    fn readiness_follows_the_role_and_health_does_not() {
        let ops = Ops::default();
        assert_eq!(ask(&ops, "GET", "/readyz"), Some((503, "not ready: starting\n".to_owned())));
        assert_eq!(ask(&ops, "GET", "/healthz").unwrap().0, 200);
        ops.clone().set_ready();
        assert_eq!(ask(&ops, "GET", "/readyz?verbose=1"), Some((200, "ready\n".to_owned())));
        assert!(ops.is_ready());
        ops.set_not_ready("draining");
        assert_eq!(ask(&ops, "GET", "/readyz"), Some((503, "not ready: draining\n".to_owned())));
        assert_eq!(ask(&ops, "POST", "/metrics").unwrap().0, 405);
        assert_eq!(ask(&ops, "GET", "/metricsx"), None);
    }

    #[test]
    fn the_process_tells_its_cpu_and_memory() {
        let (status, text) = ask(&Ops::default(), "GET", "/metrics").unwrap();
        assert_eq!(status, 200);
        let value = |name: &str| -> f64 {
            let line = text.lines().find(|l| l.starts_with(name)).unwrap();
            line.rsplit(' ').next().unwrap().parse().unwrap()
        };
        assert!(value("process_cpu_seconds_total") > 0.0);
        assert!(value("process_resident_memory_bytes") > 100_000.0);
        assert!(text.contains(&format!("incarnation=\"{}\"", cpu::incarnation())));
    }
}
