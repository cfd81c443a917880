//! From the target's own side: a run whose test is gone or has ended holds nothing.

use api::Condition;

use super::Context;
use super::maps::{self, Held, Lock};
use crate::build::meta::Owner;
use crate::error::{Error, What};
use crate::kinds::{Kind, resource};
use crate::status::conditions::holds;

/// Takes such a run out of the document; true when that was changed.
pub(super) async fn forget<D: Lock>(context: &Context, namespace: &str, held: &mut Held<D>) -> Result<bool, Error> {
    let Some(run) = D::run(held) else { return Ok(false) };
    let what = || format!("LoadTest {}", run.load_test);
    let test = context.cluster.get_object(&resource(Kind::LoadTest), namespace, &run.load_test).await.what(what)?;
    let alive = test.is_some_and(|test| {
        let conditions = test.data.pointer("/status/conditions").cloned().unwrap_or_default();
        let conditions: Vec<Condition> = serde_json::from_value(conditions).unwrap_or_default();
        test.metadata.uid.as_deref() == Some(run.uid.as_str())
            && test.metadata.deletion_timestamp.is_none()
            && !holds(&conditions, "Finished")
    });
    if alive {
        return Ok(false);
    }
    D::set_run(held, None);
    Ok(true)
}

/// The document of a target that nothing can be made of now. Whoever mends that finds it free.
pub(super) async fn unmade<D: Lock>(context: &Context, owner: &Owner, name: &str) -> Result<Option<Held<D>>, Error> {
    let Some(mut held) = maps::own::<D>(&context.cluster, owner, name).await? else { return Ok(None) };
    if forget(context, &owner.namespace, &mut held).await? {
        held.map = maps::replace(&context.cluster, &held, None).await.what(|| format!("ConfigMap {name}"))?;
    }
    Ok(Some(held))
}
