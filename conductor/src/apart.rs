//! Long work beside the conductor's own.

/// Long work on a thread of its own: it holds up neither a signal nor the deadline, and whoever goes on does not wait for it.
pub(crate) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
    let (tell, told) = tokio::sync::oneshot::channel();
    let work = move || {
        // Nobody listens any more once the run is over.
        let _ = tell.send(work());
    };
    let thread = std::thread::Builder::new().name("settlement".into()).spawn(work);
    thread.map_err(|error| format!("no thread to settle the ledger on: {error}"))?;
    told.await.map_err(|_| "the settlement broke down, so nothing is proven: this is a defect of floodmark".into())
}
