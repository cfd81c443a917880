//! The walk over protocol 1.0 against a generated decoder, and what it claims of labels against the canonical block.
#![no_main]

#[path = "../../libs/remote-write/tests/oracle/agree.rs"]
mod agree;
#[path = "../../libs/remote-write/tests/oracle/mod.rs"]
mod oracle;

use std::collections::BTreeSet;

use floodmark_remote_write::rules::check_series;
use floodmark_remote_write::v1::{Encoder, Series, walk};
use floodmark_remote_write::{METRIC_NAME, Scratch, canonical};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    agree::agree(body);
    // An unknown field behind them lets the last series be read in one window, too.
    let long = [body, &[0x4a, 0x80, 0x02], &[7; 256]].concat();
    agree::agree(&long);
    let mut copy = Encoder::new();
    for series in walk(&long).map_while(Result::ok) {
        copy.raw(series.raw());
        labels(&series);
    }
    let (ours, copied) = (agree::ours(body), agree::ours(copy.body()));
    assert!(ours.is_err() || ours.map(|seen| seen.0) == copied.map(|seen| seen.0), "copied series are the same");
});

fn labels(series: &Series<'_>) {
    let mut scratch = Scratch::new();
    let block = canonical::block_of(series.labels(), &mut scratch).to_vec();
    assert_eq!(series.canonical_hash(&mut scratch), canonical::hash_block(&block));
    assert!(series.label_block().is_none_or(|claimed| claimed == block), "no canonical block");
    if check_series(series).is_ok() {
        let names: Vec<_> = series.labels().map(|label| label.name).collect();
        assert!(names.iter().collect::<BTreeSet<_>>().into_iter().eq(&names), "labels are in order, each once");
        assert!(names.contains(&METRIC_NAME));
        assert!(series.labels().all(|label| !label.value.is_empty() && std::str::from_utf8(label.value).is_ok()));
    }
}
