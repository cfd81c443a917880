//! What all scenarios share: one API server, one puppet, one runtime. Each has namespaces of its own.

use std::future::Future;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::sync::{Mutex, RwLock};

use crate::api::Api;
use crate::apiserver::ApiServer;
use crate::puppet::Puppet;

const LIMIT: Duration = Duration::from_secs(90);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());

static WORLD: LazyLock<Result<World, String>> = LazyLock::new(|| {
    let server = ApiServer::start()?;
    server.kubectl(&["apply", "--server-side", "-k", "manifests/base"], "");
    server.forget();
    RUNTIME.block_on(async {
        let api = Api(server.client().await);
        let puppet = Puppet::play(&api).await;
        Ok(World { server, api, puppet })
    })
});

/// Held alone by what would be felt in every namespace.
static OTHERS: RwLock<()> = RwLock::const_new(());

/// Held by whoever changes the definitions, or rests on them word by word.
pub(crate) static DEFINITIONS: Mutex<()> = Mutex::const_new(());

pub(crate) struct World {
    pub(crate) server: ApiServer,
    pub(crate) api: Api,
    pub(crate) puppet: Puppet,
}

/// Runs beside others, or says loudly why it does not.
pub(crate) fn scenario<F: Future<Output = ()>>(test: &str, run: impl FnOnce(&'static World) -> F) {
    match &*WORLD {
        Ok(world) => RUNTIME.block_on(async {
            let _beside = OTHERS.read().await;
            run(world).await;
        }),
        Err(why) => crate::skip(test, why),
    }
}

/// Runs while no other scenario does.
pub(crate) fn alone<F: Future<Output = ()>>(test: &str, run: impl FnOnce(&'static World) -> F) {
    match &*WORLD {
        Ok(world) => RUNTIME.block_on(async {
            // Not by queueing, which would keep others from going on beside each other.
            let mut ticks = tokio::time::interval(Duration::from_millis(200));
            let _alone = loop {
                ticks.tick().await;
                if let Ok(alone) = OTHERS.try_write() {
                    break alone;
                }
            };
            run(world).await;
        }),
        Err(why) => crate::skip(test, why),
    }
}

/// Polls until it gives a value.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let begun = Instant::now();
    let mut ticks = tokio::time::interval(Duration::from_millis(200));
    loop {
        ticks.tick().await;
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
    }
}
