//! The control document of a sink: the whole state that its workers obey.

use crate::map::{By, MAX_REPLICAS, OwnershipMap};
use serde::{Deserialize, Serialize};

/// Greatest number of a map: whoever reads JSON has it exactly, and the next one is still a number.
pub const MAX_EPOCH: u64 = (1 << 53) - 1;

/// Longest list of pending chaos entries in a document.
const MAX_CHAOS: usize = 1024;

/// `host:port` of a worker, indexed by ordinal.
pub type Address = String;

/// Where a sink is between two maps. Ordered: within an epoch, `Draining` comes after `Stable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// The map of `to` workers holds.
    #[default]
    Stable,
    /// The map of `from` workers holds for what is buffered; nothing new is accepted.
    Draining,
}

/// What an engine's supervisor does to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all_fields = "camelCase")]
pub enum ChaosAction {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, then SIGCONT.
    Pause {
        /// Milliseconds in between.
        for_ms: u64,
    },
    /// SIGTERM, then a restart.
    Terminate,
    /// A planned restart.
    Restart,
}

/// One entry of the chaos timeline, carried out once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChaosEntry {
    /// Unique in the run: an entry whose id was carried out is not carried out again.
    pub id: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_unix_ms: u64,
    /// To which worker.
    pub ordinal: u32,
    /// What.
    #[serde(flatten)]
    pub action: ChaosAction,
}

/// The run that a sink or receiver belongs to. There is one at a time: who writes it here, with the document's revision
/// as condition, has the target for itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRef {
    /// Value of the label `floodmark_run`.
    pub id: String,
    /// Identity of the `LoadTest`; empty where engines have none.
    #[serde(default)]
    pub uid: String,
    /// Name of the `LoadTest`.
    pub load_test: String,
    /// Base address of its conductor.
    pub conductor: String,
}

/// The control document: written by the engine alone, read by the workers. JSON, camelCase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlDocument {
    /// Identity of the sink; documents of different sinks have no order.
    pub sink_uid: String,
    /// Number of the map, from 1.
    pub epoch: u64,
    /// Stable or draining.
    pub phase: Phase,
    /// Workers that series move from; equal to `to` while stable.
    pub from: u32,
    /// Workers that series move to.
    pub to: u32,
    /// What decides the owner.
    #[serde(default)]
    pub by: By,
    /// Lanes of each worker.
    pub lanes: u16,
    /// Addresses of the workers, indexed by ordinal; at least those of the map that holds.
    pub addresses: Vec<Address>,
    /// What is to be broken, in no order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chaos: Vec<ChaosEntry>,
    /// The run that the sink serves; accounts start anew with another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunRef>,
}

/// Why a control document is not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The document contradicts itself.
    #[error("control document field {field}: {reason}")]
    Invalid {
        /// Name of the field, as in the JSON.
        field: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Older than what is obeyed already.
    #[error("control document of epoch {found:?} is older than {known:?}; read it afresh")]
    Stale {
        /// Epoch and phase of the refused document.
        found: (u64, Phase),
        /// Epoch and phase that hold.
        known: (u64, Phase),
    },
    /// Same epoch and phase, other owners.
    #[error("two different ownership maps of epoch {epoch}; only the engine may write the document")]
    Conflict {
        /// The epoch in question.
        epoch: u64,
    },
}

impl ControlDocument {
    /// The map that holds now, in both phases.
    pub fn map(&self) -> OwnershipMap {
        OwnershipMap { epoch: self.epoch, replicas: self.from, lanes: self.lanes, by: self.by.clone() }
    }

    /// Position in the one order that documents of a sink have.
    pub fn rank(&self) -> (u64, Phase) {
        (self.epoch, self.phase)
    }

    /// Whether workers may accept new samples.
    pub fn accepts(&self) -> bool {
        self.phase == Phase::Stable
    }

    /// Checks the document by itself.
    pub fn validate(&self) -> Result<(), DocumentError> {
        let invalid = |field, reason: String| Err(DocumentError::Invalid { field, reason });
        if self.sink_uid.is_empty() {
            return invalid("sinkUid", "is empty; name the sink".to_owned());
        }
        if self.epoch == 0 {
            return invalid("epoch", "is 0; epochs start at 1".to_owned());
        }
        if self.epoch > MAX_EPOCH {
            return invalid("epoch", format!("is {}; no sink was resharded more than {MAX_EPOCH} times", self.epoch));
        }
        for (field, replicas) in [("from", self.from), ("to", self.to)] {
            if !(1..=MAX_REPLICAS).contains(&replicas) {
                return invalid(field, format!("is {replicas}; use 1 to {MAX_REPLICAS}"));
            }
        }
        if self.phase == Phase::Stable && self.from != self.to {
            let reason = format!("is {} while to is {}; stable means equal", self.from, self.to);
            return invalid("from", reason);
        }
        if self.lanes == 0 {
            return invalid("lanes", "is 0; use at least 1".to_owned());
        }
        if self.by == By::Labels(Vec::new()) {
            return invalid("by", "names no label; name one or use Series".to_owned());
        }
        if (self.addresses.len() as u64) < u64::from(self.from) {
            let reason = format!("holds {} of {} workers", self.addresses.len(), self.from);
            return invalid("addresses", reason);
        }
        if self.addresses.len() > MAX_REPLICAS as usize {
            return invalid("addresses", format!("holds more than {MAX_REPLICAS}"));
        }
        if self.chaos.len() > MAX_CHAOS {
            return invalid("chaos", format!("holds more than {MAX_CHAOS} entries"));
        }
        Ok(())
    }

    /// Whether this document may replace `known`. One of another sink always may; of the same sink none of a lower rank,
    /// and none that tells another map for the same epoch.
    pub fn supersedes(&self, known: &Self) -> Result<(), DocumentError> {
        self.validate()?;
        if self.sink_uid != known.sink_uid {
            return Ok(());
        }
        if self.rank() < known.rank() {
            return Err(DocumentError::Stale { found: self.rank(), known: known.rank() });
        }
        if self.epoch == known.epoch && self.map() != known.map() {
            return Err(DocumentError::Conflict { epoch: self.epoch });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document() -> ControlDocument {
        ControlDocument {
            sink_uid: "default/sink/1".to_owned(),
            epoch: 4,
            phase: Phase::Draining,
            from: 2,
            to: 3,
            by: By::Labels(vec!["job".to_owned()]),
            lanes: 4,
            addresses: (0..3).map(|i| format!("127.0.0.1:{}", 9000 + i)).collect(),
            chaos: vec![ChaosEntry {
                id: 1,
                at_unix_ms: 1_795_000_000_000,
                ordinal: 1,
                action: ChaosAction::Pause { for_ms: 2000 },
            }],
            run: None,
        }
    }

    #[test]
    fn the_json_is_what_others_read() {
        let json = serde_json::to_value(document()).unwrap();
        let expected = serde_json::json!({
            "sinkUid": "default/sink/1", "epoch": 4, "phase": "Draining", "from": 2, "to": 3,
            "by": {"Labels": ["job"]}, "lanes": 4,
            "addresses": ["127.0.0.1:9000", "127.0.0.1:9001", "127.0.0.1:9002"],
            "chaos": [{"id": 1, "atUnixMs": 1_795_000_000_000_u64, "ordinal": 1, "action": "Pause", "forMs": 2000}],
        });
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_value::<ControlDocument>(json).unwrap(), document());
        let kill = serde_json::json!({"id": 2, "atUnixMs": 5, "ordinal": 0, "action": "Kill"});
        let kill: ChaosEntry = serde_json::from_value(kill).unwrap();
        assert_eq!(kill.action, ChaosAction::Kill);
    }

    #[test]
    fn by_and_chaos_may_be_left_out() {
        let json = r#"{"sinkUid":"u","epoch":1,"phase":"Stable","from":1,"to":1,"lanes":1,"addresses":["a:1"]}"#;
        let document: ControlDocument = serde_json::from_str(json).unwrap();
        assert_eq!(document.validate(), Ok(()));
        assert_eq!(document.by, By::Series);
        assert!(document.accepts());
    }

    #[test]
    fn contradictions_are_named() {
        type Edit = fn(&mut ControlDocument);
        let edits: [(&str, Edit); 10] = [
            ("sinkUid", |d| d.sink_uid.clear()),
            ("epoch", |d| d.epoch = 0),
            ("epoch", |d| d.epoch = u64::MAX),
            ("from", |d| d.from = 0),
            ("to", |d| d.to = MAX_REPLICAS + 1),
            ("from", |d| d.phase = Phase::Stable),
            ("lanes", |d| d.lanes = 0),
            ("by", |d| d.by = By::Labels(Vec::new())),
            ("addresses", |d| d.addresses.truncate(1)),
            ("chaos", |d| d.chaos = vec![d.chaos[0].clone(); MAX_CHAOS + 1]),
        ];
        assert_eq!(document().validate(), Ok(()));
        for (field, edit) in edits {
            let mut document = document();
            edit(&mut document);
            match document.validate() {
                Err(DocumentError::Invalid { field: found, .. }) => assert_eq!(found, field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    #[test]
    fn only_newer_documents_replace() {
        let stable = |epoch, replicas| ControlDocument {
            epoch,
            phase: Phase::Stable,
            from: replicas,
            to: replicas,
            ..document()
        };
        let draining = document();
        assert_eq!(draining.map().replicas, 2);
        assert_eq!(draining.supersedes(&stable(4, 2)), Ok(()));
        assert_eq!(draining.supersedes(&draining), Ok(()));
        assert_eq!(stable(5, 3).supersedes(&draining), Ok(()));
        for old in [stable(4, 2), stable(3, 1)] {
            assert!(matches!(old.supersedes(&draining), Err(DocumentError::Stale { .. })));
        }
        let other = draining.supersedes(&stable(4, 3));
        assert_eq!(other, Err(DocumentError::Conflict { epoch: 4 }));
        let foreign = ControlDocument { sink_uid: "another".to_owned(), ..stable(1, 1) };
        assert_eq!(foreign.supersedes(&draining), Ok(()));
    }
}
