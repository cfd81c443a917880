//! Documents that tests start from and spoil.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::panic, reason = "a helper of tests fails them this way")]

use floodmark_api::{Bundle, Problems, load};

pub(crate) const FULL: &str = include_str!("../fixtures/full.yaml");

pub(crate) const SINK: &str = "apiVersion: floodmark.dev/v1alpha1
kind: RemoteWriteSink
metadata: {name: sink}
spec:
  backend: {url: \"http://p:9090/api/v1/write\"}
";

pub(crate) const RECEIVER: &str = "apiVersion: floodmark.dev/v1alpha1
kind: RemoteWriteReceiver
metadata: {name: receiver}
spec:
  profile: Strict
";

pub(crate) const TEST: &str = "apiVersion: floodmark.dev/v1alpha1
kind: LoadTest
metadata: {name: test}
spec:
  target: {endpoint: {url: \"http://p:9090/api/v1/write\"}}
  workload:
    - {name: app, targets: 10, seriesPerTarget: 100, scrapeInterval: 1s}
  stages: [{for: 30s}]
";

pub(crate) fn read(text: &str) -> Result<Bundle, Problems> {
    load(&[("file.yaml".to_owned(), text.to_owned())])
}

/// The problems of a text, one a line; panics when it has none.
pub(crate) fn problems(text: &str) -> String {
    match read(text) {
        Ok(_) => panic!("no problem was found in:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}
