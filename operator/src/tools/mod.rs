//! What people ask of a cluster from outside, with their own kubeconfig: `floodmark wait` and `floodmark results`.

pub mod results;
pub mod wait;

use std::path::Path;

use kube::core::DynamicObject;
use telemetry::Registry;

use crate::cluster::{Cluster, Fail, configuration};
use crate::kinds::{Kind, resource};

/// A test in a cluster: `lt/NAME`, `loadtest/NAME` or `NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub name: String,
    /// None: the kubeconfig's own.
    pub namespace: Option<String>,
}

impl Reference {
    /// Fails when it names another kind.
    pub fn parse(text: &str, namespace: Option<String>) -> anyhow::Result<Self> {
        let name = match text.split_once('/') {
            Some(("lt" | "loadtest" | "loadtests" | "loadtests.floodmark.dev", name)) => name,
            Some((kind, name)) => anyhow::bail!("{kind}/{name} is no LoadTest: write lt/{name}"),
            None => text,
        };
        anyhow::ensure!(!name.is_empty() && !name.contains('/'), "{text:?} names no LoadTest: write lt/NAME");
        Ok(Self { name: name.to_owned(), namespace })
    }
}

/// A test as it is in the cluster.
struct Remote {
    cluster: Cluster,
    namespace: String,
    name: String,
}

impl Remote {
    async fn connect(reference: &Reference, kubeconfig: Option<&Path>) -> anyhow::Result<Self> {
        let config = configuration(kubeconfig).await?;
        let namespace = reference.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { cluster: Cluster::new(config, Registry::new())?, namespace, name: reference.name.clone() })
    }

    async fn get(&self) -> Result<Option<DynamicObject>, Fail> {
        self.cluster.get_object(&resource(Kind::LoadTest), &self.namespace, &self.name).await
    }

    /// What to do about an answer that asking again does not change; the failure itself when it may.
    fn refused(&self, fail: Fail) -> Result<anyhow::Error, Fail> {
        let Self { name, namespace, .. } = self;
        match fail {
            Fail::Unauthorized(words) => Ok(anyhow::anyhow!(
                "the API server does not accept the credentials ({words}): renew those of the kubeconfig, or name another with --kubeconfig"
            )),
            Fail::Forbidden(words) => Ok(anyhow::anyhow!(
                "no access to LoadTest {name} in namespace {namespace} ({words}): get on loadtests.floodmark.dev is needed there"
            )),
            Fail::Invalid(words) | Fail::NotFound(words) => Ok(anyhow::anyhow!("LoadTest {name}: {words}")),
            other => Err(other),
        }
    }

    fn missing(&self) -> anyhow::Error {
        anyhow::anyhow!("there is no LoadTest {} in namespace {}: see kubectl get lt -A", self.name, self.namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_as_kubectl_names_it() {
        for text in ["lt/a", "loadtest/a", "loadtests/a", "a"] {
            assert_eq!(Reference::parse(text, None).unwrap().name, "a");
        }
        let error = Reference::parse("rws/a", None).unwrap_err().to_string();
        assert!(error.contains("lt/a"), "{error}");
        assert!(Reference::parse("lt/", None).is_err() && Reference::parse("lt/a/b", None).is_err());
    }
}
