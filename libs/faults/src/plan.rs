//! Which sample a fault replaces, what is sent instead, and back.

use std::sync::Arc;

use api::{Fault, FaultType, Placement};
use remote_write::v1::Literal;
use remote_write::{Label, Sample};
use workload::{Pieces, SeriesId, Workload};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::available;
use crate::delay::Delay;
use crate::literal;

/// Position of a fault in the document.
pub type FaultIndex = u32;

/// The label that structural faults carry: `<Type>-<base>`. No good series has it.
pub const FAULT_LABEL: &str = "floodmark_fault";

/// Values of injected samples have this bit, which no scheduled value has; fault and k stand below it.
const MARK: u64 = 1 << 52;
/// Most faults of a document.
const MAX_FAULTS: usize = 64;
/// Faults that need a good predecessor leave room for it.
const MAX_AFTER_GOOD: f64 = 0.25;
/// Tries to step off a scheduled timestamp.
const STEPS: i64 = 16;

/// Why faults cannot be drawn as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("faults[{index}]: {fault} is not available yet; available are {available}")]
    NotAvailable { index: usize, fault: FaultType, available: String },
    #[error("faults[{index}]: {problem}")]
    Invalid { index: usize, problem: String },
    #[error("more than {MAX_FAULTS} faults: give fewer")]
    TooMany,
    #[error(
        "the shares of faults active at {seconds} s add up to more than 100%: lower them or move their windows apart"
    )]
    Shares { seconds: u64 },
}

#[derive(Debug, Clone)]
struct Rule {
    fault: FaultType,
    /// Share of all samples in 2⁻⁶⁴.
    share: u64,
    from_ns: u64,
    /// Exclusive.
    to_ns: u64,
    own: bool,
    delay: Option<Delay>,
    ahead_ms: i64,
}

/// What is sent instead of a scheduled sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Materialised<'a> {
    /// The series' own labels with another sample.
    Sample(Sample),
    /// The fields of a `TimeSeries`, labels and sample, wrong on purpose.
    Literal(&'a [u8]),
    /// The series' own labels with this sample, in a request whose bytes are then broken ([`crate::cut_message`],
    /// [`crate::cut_compressed`]).
    InBrokenRequest(Sample),
}

/// Reused memory of [`FaultPlan::materialise`].
#[derive(Debug, Default)]
pub struct FaultScratch {
    literal: Literal,
    pieces: Pieces,
}

/// The faults of a run.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    rules: Vec<Rule>,
    seed: u64,
    workload: Arc<Workload>,
    /// When any fault is active, and how much all shares are together: most samples are passed by these alone.
    active: std::ops::Range<u64>,
    threshold: u64,
}

impl FaultPlan {
    /// Checks and prepares the document's faults.
    pub fn new(faults: &[Fault], seed: u64, workload: &Arc<Workload>) -> Result<Self, FaultError> {
        if faults.len() > MAX_FAULTS {
            return Err(FaultError::TooMany);
        }
        let rules =
            faults.iter().enumerate().map(|(index, fault)| Rule::new(index, fault)).collect::<Result<Vec<_>, _>>()?;
        for at in rules.iter().map(|r| r.from_ns) {
            let sum: u128 = rules.iter().filter(|r| r.active(at)).map(|r| u128::from(r.share)).sum();
            // Shares of 33.3 % and the like may add up to a hair more than one.
            if sum > u128::from(u64::MAX) + (1 << 20) {
                return Err(FaultError::Shares { seconds: at / 1_000_000_000 });
            }
        }
        let active =
            rules.iter().map(|r| r.from_ns).min().unwrap_or(0)..rules.iter().map(|r| r.to_ns).max().unwrap_or(0);
        let threshold = rules.iter().fold(0u64, |sum, r| sum.saturating_add(r.share));
        Ok(Self { rules, seed, workload: Arc::clone(workload), active, threshold })
    }

    /// Faults of the document.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether nothing is ever drawn.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The type of a fault.
    pub fn fault(&self, index: FaultIndex) -> Option<FaultType> {
        self.rules.get(index as usize).map(|r| r.fault)
    }

    /// Whether the fault's samples travel in requests of their own. Faults of whole requests always do.
    pub fn own(&self, index: FaultIndex) -> bool {
        self.rules.get(index as usize).is_some_and(|r| r.own)
    }

    /// Whether any fault can be drawn in a span of time: lets callers skip the draw for whole requests.
    #[inline]
    pub fn active(&self, from_ns: u64, to_ns: u64) -> bool {
        from_ns < self.active.end && to_ns >= self.active.start
    }

    /// The fault that replaces the scheduled sample, if any. Pure. `due_ns` is the sample's; stale markers and samples that
    /// the series does not send are never drawn.
    #[inline]
    pub fn draw(&self, id: SeriesId, k: u32, due_ns: u64) -> Option<FaultIndex> {
        if !self.active.contains(&due_ns) {
            return None;
        }
        let bits = self.bits(id, k);
        if bits > self.threshold {
            return None;
        }
        self.draw_slowly(id, k, due_ns, bits)
    }

    fn draw_slowly(&self, id: SeriesId, k: u32, due_ns: u64, bits: u64) -> Option<FaultIndex> {
        let index = self.pick(bits, due_ns)?;
        let range = self.workload.samples_of(id)?;
        if !range.contains(&k) {
            return None;
        }
        if needs_good_before(self.rules[index as usize].fault) {
            // The predecessor must be of this series and not be replaced itself.
            let before = k.checked_sub(1).filter(|b| range.contains(b))?;
            let due_before = self.workload.due_ns(id.base, before)?;
            if self.pick(self.bits(id, before), due_before).is_some() {
                return None;
            }
        }
        Some(index)
    }

    /// The rule whose share the bits fall into.
    fn pick(&self, bits: u64, due_ns: u64) -> Option<FaultIndex> {
        let mut below = 0u64;
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, r)| r.active(due_ns)) {
            below = below.saturating_add(rule.share);
            if bits < below || (below == u64::MAX && rule.share > 0) {
                return Some(index as FaultIndex);
            }
        }
        None
    }

    #[inline]
    fn bits(&self, id: SeriesId, k: u32) -> u64 {
        let mut key = [0; 12];
        key[..4].copy_from_slice(&id.base.to_le_bytes());
        key[4..8].copy_from_slice(&id.generation.to_le_bytes());
        key[8..].copy_from_slice(&k.to_le_bytes());
        xxh3_64_with_seed(&key, self.seed)
    }

    /// What is sent instead of sample `k` of the series; `None` if there is no such fault or sample.
    pub fn materialise<'s>(
        &self,
        index: FaultIndex,
        id: SeriesId,
        k: u32,
        t0_ns: u64,
        scratch: &'s mut FaultScratch,
    ) -> Option<Materialised<'s>> {
        let rule = self.rules.get(index as usize)?;
        let sample = Sample { timestamp: self.timestamp(rule, id, k, t0_ns)?, value: mark(index, k) };
        match rule.fault {
            FaultType::MissingMetricName | FaultType::DuplicateLabel | FaultType::InvalidLabelName => {
                let place = self.workload.place(id.base)?;
                let FaultScratch { literal, pieces } = scratch;
                let parts = pieces.parts(&self.workload, place, id.generation);
                literal::build(rule.fault, &parts, id.base, sample, literal);
                Some(Materialised::Literal(literal.fields()))
            }
            FaultType::TruncatedProtobuf | FaultType::CorruptSnappy => Some(Materialised::InBrokenRequest(sample)),
            _ => Some(Materialised::Sample(sample)),
        }
    }

    fn timestamp(&self, rule: &Rule, id: SeriesId, k: u32, t0_ns: u64) -> Option<i64> {
        let at = |k: u32| self.workload.timestamp_ms(t0_ns, id.base, k);
        let scheduled = |ts: i64| self.workload.k_at(t0_ns, id.base, ts).is_some();
        match rule.fault {
            FaultType::OutOfOrder => {
                let bits = self.bits(id, k).rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let delay = rule.delay.map_or(1, |d| d.draw_ms(bits));
                let wanted = at(k.checked_sub(1)?)? - delay;
                // Where every millisecond is scheduled, the time before the schedule is still free.
                let free = (0..STEPS).map(|step| wanted - step).find(|ts| !scheduled(*ts));
                free.or_else(|| Some(at(0)? - delay)).map(|ts| ts.max(1))
            }
            FaultType::ConflictingDuplicate => at(k.checked_sub(1)?),
            FaultType::FutureTimestamp => {
                let wanted = at(k)? + rule.ahead_ms;
                (0..STEPS).map(|step| wanted + step).find(|ts| !scheduled(*ts)).or(Some(wanted))
            }
            _ => at(k),
        }
    }

    /// Back from what a store holds under a good label set to the injected fault and the sample it replaced.
    pub fn identify(&self, id: SeriesId, t0_ns: u64, timestamp_ms: i64, value_bits: u64) -> Option<(FaultIndex, u32)> {
        let (index, k) = marked(value_bits)?;
        let rule = self.rules.get(index as usize)?;
        let due = self.workload.due_ns(id.base, k)?;
        let same = self.draw(id, k, due) == Some(index) && self.timestamp(rule, id, k, t0_ns) == Some(timestamp_ms);
        same.then_some((index, k))
    }

    /// The same for a label set that is no good series: one that carries [`FAULT_LABEL`]. Backends mend labels in their own
    /// ways, so only the label, the timestamp and the value are held to the draw.
    pub fn identify_literal<'a>(
        &self,
        labels: impl Iterator<Item = Label<'a>>,
        t0_ns: u64,
        timestamp_ms: i64,
        value_bits: u64,
    ) -> Option<(FaultIndex, SeriesId, u32)> {
        let (index, k) = marked(value_bits)?;
        let (mut base, mut run) = (None, false);
        for label in labels {
            if label.name == FAULT_LABEL.as_bytes() {
                let (name, number) = std::str::from_utf8(label.value).ok()?.rsplit_once('-')?;
                base = (name == self.fault(index)?.name()).then(|| number.parse::<u32>().ok()).flatten();
            } else if label.name == workload::RUN_LABEL.as_bytes() {
                run = self.workload.run() == label.value;
            }
        }
        let base = base.filter(|_| run)?;
        let id = SeriesId { base, generation: self.workload.generation_at(base, k) };
        self.identify(id, t0_ns, timestamp_ms, value_bits).map(|_| (index, id, k))
    }
}

impl Rule {
    fn new(index: usize, fault: &Fault) -> Result<Self, FaultError> {
        let invalid = |problem: String| FaultError::Invalid { index, problem };
        if !available(fault.r#type) {
            let names: Vec<_> = FaultType::ALL.iter().filter(|f| available(**f)).map(|f| f.name()).collect();
            return Err(FaultError::NotAvailable { index, fault: fault.r#type, available: names.join(", ") });
        }
        let share = fault.share.0;
        if !(share > 0.0 && share <= 1.0) {
            return Err(invalid("`share` must be above 0% and up to 100%".into()));
        }
        if needs_good_before(fault.r#type) && share > MAX_AFTER_GOOD {
            return Err(invalid(format!(
                "{} follows a good sample of the same series: `share` must be up to 25%",
                fault.r#type
            )));
        }
        let delay = (fault.r#type == FaultType::OutOfOrder)
            .then(|| Delay::new(&fault.out_of_order.clone().unwrap_or_default().delay))
            .transpose()
            .map_err(|problem| invalid(format!("`outOfOrder.delay`: {problem}")))?;
        let ahead_ms = (fault.future_timestamp.clone().unwrap_or_default().ahead.as_nanos() / 1_000_000).cast_signed();
        let from_ns = fault.from.map_or(0, api::Duration::as_nanos);
        let to_ns = fault.r#for.map_or(u64::MAX, |d| from_ns.saturating_add(d.as_nanos()));
        let own = travels_alone(fault);
        // 2^64 × share; a share of 100 % saturates to all but the last of 2^64 draws, which `pick` adds.
        let share = (share * 18_446_744_073_709_551_616.0) as u64;
        Ok(Self { fault: fault.r#type, share, from_ns, to_ns, own, delay, ahead_ms })
    }

    fn active(&self, due_ns: u64) -> bool {
        (self.from_ns..self.to_ns).contains(&due_ns)
    }
}

/// Whether the verdict on the fault is only clean after a good sample of the same series.
pub fn needs_good_before(fault: FaultType) -> bool {
    matches!(fault, FaultType::OutOfOrder | FaultType::ConflictingDuplicate)
}

/// Whether the fault breaks a whole request.
fn breaks_request(fault: FaultType) -> bool {
    matches!(fault, FaultType::TruncatedProtobuf | FaultType::CorruptSnappy)
}

/// The value of an injected sample: an integer that no schedule has, and that names fault and k.
fn mark(index: FaultIndex, k: u32) -> f64 {
    (MARK | u64::from(index) << 32 | u64::from(k)) as f64
}

fn marked(value_bits: u64) -> Option<(FaultIndex, u32)> {
    let value = f64::from_bits(value_bits);
    let integer = value as u64;
    let is_mark = integer & MARK != 0 && integer < MARK << 1 && (integer as f64).to_bits() == value_bits;
    let (index, k) = ((integer & (MARK - 1)) >> 32, integer as u32);
    (is_mark && index < MAX_FAULTS as u64).then_some((index as FaultIndex, k))
}
/// Whether a fault's samples travel in requests of their own, as [`FaultPlan::own`] tells of those that are planned.
pub fn travels_alone(fault: &api::Fault) -> bool {
    fault.placement == Placement::Own || breaks_request(fault.r#type)
}
