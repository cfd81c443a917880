//! The engine's steps: searched in every order of events and failures (`world`), and one by one.

mod world;

use floodmark_ownership::drive::{Failed, Next, Notes, Told, View, step};
use floodmark_ownership::{ControlDocument, Phase};
use world::{TIMEOUT, WORKERS, Worker, World, explore, full};

#[test]
fn any_single_failure_of_any_write_converges_and_keeps_one_sender_a_slot() {
    for replicas in 1..=WORKERS as u32 {
        let seen = explore(World::new(replicas));
        assert!(seen > 1000, "only {seen} worlds");
    }
}

#[test]
fn workers_that_never_come_up_keep_nobody_from_going_on_without_them() {
    let mut start = World { nodes: 2, ..World::new(WORKERS as u32) };
    start.workers[2] = Worker::default();
    let seen = explore(start);
    assert!(seen > 1000, "only {seen} worlds");
}

#[test]
fn edits_in_the_middle_of_a_drain_converge() {
    let seen = explore(World { edits: 2, faults: 0, worker_crashes: 0, ..World::new(2) });
    assert!(seen > 1000, "only {seen} worlds");
}

fn view(wanted: u32, ready: u32, drained: &[(u32, u64)]) -> View {
    View { wanted, generation: 1, ready, known: ready, drained: drained.iter().copied().collect() }
}

fn go(document: &ControlDocument, notes: &Notes, view: &View, now: u64) -> Next {
    step(document, notes, view, now, TIMEOUT, &|ordinal| format!("new-{ordinal}:1"))
}

#[test]
fn scale_out_starts_workers_first_and_measures_the_pause() {
    let (stable, notes) = (full((1, Phase::Stable, 2, 2)), Notes::default());
    let next = go(&stable, &notes, &view(3, 2, &[]), 1000);
    assert_eq!((next.workers, next.publish, next.look_again), (3, None, None));
    let next = go(&stable, &notes, &view(3, 3, &[]), 1000);
    let (draining, notes) = next.publish.unwrap();
    assert_eq!((draining.phase, draining.from, draining.to, draining.epoch), (Phase::Draining, 2, 3, 1));
    assert_eq!(draining.addresses, ["w0:1", "w1:1", "new-2:1"]);
    assert_eq!((notes.draining_since, next.look_again), (Some(1000), Some(0)));
    assert_eq!(next.told, [Told::Draining { from: 2, to: 3 }]);
    let next = go(&draining, &notes, &view(3, 3, &[(0, 1)]), 1030);
    assert_eq!((next.publish, next.look_again), (None, Some(70)));
    let next = go(&draining, &notes, &view(3, 3, &[(0, 1), (1, 1)]), 1040);
    let (stable, notes) = next.publish.unwrap();
    assert_eq!((stable.phase, stable.epoch, stable.to, stable.addresses.len()), (Phase::Stable, 2, 3, 3));
    assert_eq!(notes, Notes { draining_since: None, failed: None, last_pause: Some(40) });
    assert_eq!(next.told, [Told::Resharded { from: 2, to: 3, pause_ms: 40 }]);
    let next = go(&stable, &notes, &view(3, 3, &[]), 1050);
    assert_eq!((next.workers, next.publish, next.look_again), (3, None, None));
}

#[test]
fn scale_in_keeps_the_workers_until_the_new_map_is_written() {
    let draining = full((1, Phase::Draining, 3, 1));
    let notes = Notes { draining_since: Some(0), ..Notes::default() };
    let drained = [(0, 1), (1, 1), (2, 1)];
    let next = go(&draining, &notes, &view(1, 3, &drained), 10);
    assert_eq!(next.workers, 3, "the write may fail yet");
    let (stable, notes) = next.publish.unwrap();
    assert_eq!((stable.epoch, stable.from, stable.addresses.len()), (2, 1, 1));
    assert_eq!(go(&stable, &notes, &view(1, 3, &[]), 11).workers, 1);
}

#[test]
fn a_scale_in_begins_once_every_owner_is_known_to_be_there_or_gone() {
    let (stable, notes) = (full((1, Phase::Stable, 3, 3)), Notes::default());
    let next = go(&stable, &notes, &view(2, 2, &[]), 0);
    assert_eq!((next.workers, next.publish, next.look_again), (3, None, None), "the others go on accepting");
    let gone = View { known: 3, ..view(2, 2, &[]) };
    let (draining, notes) = go(&stable, &notes, &gone, 0).publish.unwrap();
    assert_eq!((draining.phase, draining.from, draining.to), (Phase::Draining, 3, 2));
    let gone = View { known: 3, ..view(2, 2, &[(0, 1), (1, 1), (2, 1)]) };
    let (stable, _) = go(&draining, &notes, &gone, 10).publish.unwrap();
    assert_eq!((stable.phase, stable.epoch, stable.to), (Phase::Stable, 2, 2));
    // A scale-out needs its workers themselves.
    let gone = View { known: 2, ..view(3, 1, &[]) };
    assert_eq!(go(&stable, &notes, &gone, 20).publish, None);
}

#[test]
fn a_drain_that_takes_too_long_is_given_up_until_somebody_edits() {
    let draining = full((1, Phase::Draining, 2, 3));
    let notes = Notes { draining_since: Some(1000), ..Notes::default() };
    let next = go(&draining, &notes, &view(3, 3, &[(0, 1)]), 1100);
    let (stable, notes) = next.publish.unwrap();
    assert_eq!((stable.epoch, stable.phase, stable.to), (2, Phase::Stable, 2));
    assert_eq!(notes.failed, Some(Failed { to: 3, generation: 1, waiting_for: 1 }));
    assert_eq!(next.told, [Told::DrainTimedOut { to: 3, waiting_for: 1, pause_ms: 100 }]);
    // Crash or not: it is not tried again, and the workers that were started for it go.
    let next = go(&stable, &notes, &view(3, 3, &[]), 5000);
    assert_eq!((next.workers, next.publish), (2, None));
    let edited = View { generation: 2, ..view(3, 2, &[]) };
    assert_eq!(go(&stable, &notes, &edited, 5000).workers, 3);
    // All drained at the last moment: the drain has ended, whatever the clock says.
    let next = go(&draining, &Notes { draining_since: Some(0), ..notes }, &view(3, 3, &[(0, 1), (1, 1)]), 9000);
    assert_eq!(next.publish.unwrap().0.to, 3);
}

#[test]
fn wanting_the_old_number_again_ends_the_drain() {
    let draining = full((4, Phase::Draining, 3, 2));
    let notes = Notes { draining_since: Some(0), ..Notes::default() };
    let next = go(&draining, &notes, &view(3, 3, &[]), 20);
    assert_eq!(next.publish.as_ref().unwrap().0.epoch, 5);
    assert_eq!(next.told, [Told::CalledOff { replicas: 3, pause_ms: 20 }]);
}

#[test]
fn what_else_the_document_says_is_kept() {
    let run = floodmark_ownership::RunRef {
        id: "0123abcd".to_owned(),
        uid: "u".to_owned(),
        load_test: "t".to_owned(),
        conductor: "http://c:1".to_owned(),
    };
    let stable = ControlDocument { run: Some(run.clone()), lanes: 7, ..full((1, Phase::Stable, 3, 3)) };
    let (next, _) = go(&stable, &Notes::default(), &view(1, 3, &[]), 0).publish.unwrap();
    assert_eq!((next.run, next.lanes, next.sink_uid), (Some(run), 7, stable.sink_uid));
}
