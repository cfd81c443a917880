//! What `fuzz/` calls of this crate's parsers.

use bytes::Bytes;
use http::HeaderMap;
use ownership::ControlDocument;

use crate::admit::{Decoder, Map, SplitRules};
use crate::control::Control;
use crate::idempotency::RequestId;
use crate::lane::{Fields, Payload};
use crate::write;

/// Whether the headers are those of a request that is looked into.
pub fn takes(headers: &HeaderMap) -> bool {
    write::accepted_kind(headers).is_ok()
}

/// Lane and sequence of the header `floodmark-request`.
pub fn request_id(text: &str) -> Option<(u32, u64)> {
    RequestId::parse(text, None).map(|id| (id.lane, id.sequence))
}

/// The control documents that a worker reads, one after the other.
pub struct Documents(Control);

impl Documents {
    /// None read yet.
    #[expect(clippy::new_without_default, reason = "made in one place")]
    pub fn new() -> Self {
        Self(Control::new(std::path::Path::new("")))
    }

    /// Whether what the file holds now is news, or why it is not obeyed.
    pub fn take(&mut self, text: &[u8]) -> Result<bool, String> {
        self.0.take(text)
    }

    /// What is obeyed.
    pub fn known(&self) -> Option<&ControlDocument> {
        self.0.known()
    }
}

/// A series as it leaves the worker, and what the worker knows of it.
pub struct Sent {
    pub raw: Vec<u8>,
    pub hash: u64,
    pub samples: u32,
    /// The oldest and the newest timestamp.
    pub times: (i64, i64),
}

/// A third party's request: this worker's slices by lane, other workers' requests by ordinal.
pub struct Split {
    pub own: Vec<(u16, Vec<Vec<Sent>>)>,
    pub others: Vec<(u32, Bytes)>,
}

/// Worker 0 of a sink.
pub struct Worker {
    map: Map,
    decoder: Decoder,
}

impl Worker {
    /// One that obeys this document.
    pub fn new(control: &ControlDocument) -> Self {
        Self { map: Map::new(control, 0), decoder: Decoder::default() }
    }

    /// Splits a third party's request, or says why it is refused.
    pub fn split(&mut self, body: &[u8], once: bool, max_samples: u64) -> Result<Split, String> {
        let rules = SplitRules { once, max_samples, most: 1000, max_bytes: 1 << 24 };
        let split = self.decoder.split(body, &self.map, false, rules).map_err(|refusal| refusal.to_string())?;
        let own = split.own.into_iter().map(|share| (share.lane, share.sliced.slices.iter().map(sent).collect()));
        Ok(Split { own: own.collect(), others: split.others })
    }

    /// A generator's request: its samples and series, or why it is refused.
    pub fn pure(&mut self, body: &[u8], fault: bool) -> Result<(u64, Vec<Sent>), String> {
        let found = self.decoder.pure(body, &self.map, fault, u64::MAX).map_err(|refusal| refusal.to_string())?;
        let fields = self.decoder.fields(body).map_err(|refusal| format!("{refusal}, but only at the second look"))?;
        Ok((found.samples, fields_sent(&fields)))
    }
}

fn sent(payload: &Payload) -> Vec<Sent> {
    match payload {
        Payload::Fields(fields) => fields_sent(fields),
        Payload::Original { .. } => Vec::new(),
    }
}

fn fields_sent(fields: &Fields) -> Vec<Sent> {
    let one = |field: &crate::lane::Field| Sent {
        raw: fields.raw(field).to_vec(),
        hash: field.hash,
        samples: field.samples,
        times: (field.first, field.last),
    };
    fields.list.iter().map(one).collect()
}
