//! What a sink's control map knows besides the document itself, and what of it no edit can change.

use std::str::FromStr;

use k8s_openapi::api::core::v1::ConfigMap;
use ownership::ControlDocument;
use ownership::drive::{Failed, Notes};

const DRAINING_SINCE: &str = "floodmark.dev/draining-since";
const DRAIN_FAILED: &str = "floodmark.dev/drain-failed";
const LAST_PAUSE: &str = "floodmark.dev/last-pause";

/// The notes that were written together with the document. One that is not understood is like none.
pub(crate) fn notes(map: &ConfigMap) -> Notes {
    let annotation = |key| map.metadata.annotations.as_ref()?.get(key);
    let number = |key| annotation(key)?.parse().ok();
    Notes {
        draining_since: number(DRAINING_SINCE),
        failed: annotation(DRAIN_FAILED).and_then(|text| text.parse().ok()).map(|FailedText(failed)| failed),
        last_pause: number(LAST_PAUSE),
    }
}

/// To be written with the document, in one request.
pub(crate) fn set_notes(map: &mut ConfigMap, notes: &Notes) {
    let annotations = map.metadata.annotations.get_or_insert_default();
    let texts = [
        (DRAINING_SINCE, notes.draining_since.map(|ms| ms.to_string())),
        (DRAIN_FAILED, notes.failed.map(|failed| FailedText(failed).to_string())),
        (LAST_PAUSE, notes.last_pause.map(|ms| ms.to_string())),
    ];
    for (key, text) in texts {
        match text {
            Some(text) => annotations.insert(key.to_owned(), text),
            None => annotations.remove(key),
        };
    }
}

/// What cannot be changed in a sink that exists, in words: its control document says otherwise for good.
pub(crate) fn fixed(doc: &ControlDocument, spec: &api::RemoteWriteSinkSpec) -> Option<String> {
    let again = "delete the sink and apply it again";
    if doc.lanes != spec.lanes {
        return Some(format!("spec.lanes: {} now and {} when the sink was made; {again}", spec.lanes, doc.lanes));
    }
    (doc.by != plans::ownership_by(spec)).then(|| format!("spec.ownership: not what the sink was made with; {again}"))
}

/// `TO@GENERATION:ORDINAL`.
struct FailedText(Failed);

impl std::fmt::Display for FailedText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}:{}", self.0.to, self.0.generation, self.0.waiting_for)
    }
}

impl FromStr for FailedText {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (to, rest) = text.split_once('@').ok_or(())?;
        let (generation, waiting_for) = rest.split_once(':').ok_or(())?;
        let failed = (to.parse(), generation.parse(), waiting_for.parse());
        let (Ok(to), Ok(generation), Ok(waiting_for)) = failed else { return Err(()) };
        Ok(Self(Failed { to, generation, waiting_for }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::plans::{Named, first_control};

    fn spec() -> api::RemoteWriteSinkSpec {
        serde_json::from_value(serde_json::json!({"replicas": 2, "backend": {"url": "http://a/b"}})).unwrap()
    }

    #[test]
    fn notes_read_back_and_leave_others_alone() {
        let failed = Some(Failed { to: 5, generation: 3, waiting_for: 1 });
        let mut map = ConfigMap::default();
        map.metadata.annotations = Some([("note".to_owned(), "somebody's".to_owned())].into());
        for all in [Notes { draining_since: Some(9), failed, last_pause: Some(40) }, Notes::default()] {
            set_notes(&mut map, &all);
            assert_eq!(notes(&map), all);
            assert_eq!(map.metadata.annotations.as_ref().unwrap()["note"], "somebody's");
        }
        assert_eq!(map.metadata.annotations.as_ref().unwrap().len(), 1, "what does not hold is not said");
        map.metadata.annotations = Some([(DRAIN_FAILED.to_owned(), "5@".to_owned())].into());
        assert_eq!(notes(&map), Notes::default());
    }

    #[test]
    fn what_was_fixed_when_the_sink_was_made_is_said() {
        let doc = first_control("uid", Named { name: "s", spec: &spec() });
        assert_eq!(fixed(&doc, &spec()), None);
        let lanes = api::RemoteWriteSinkSpec { lanes: 9, ..spec() };
        assert!(fixed(&doc, &lanes).unwrap().contains("spec.lanes: 9 now and 4"));
        let mut by = spec();
        by.ownership = serde_json::from_value(serde_json::json!({"by": "Labels", "labels": ["job"]})).unwrap();
        assert!(fixed(&doc, &by).is_some());
    }
}
