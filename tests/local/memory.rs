//! What strangers on the network can make the parts remember: in all, not only with one request.

use std::io::Write;
use std::time::{Duration, Instant};

use remote_write::{Sample, Snappy, canonical, v1};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::support::plan::plan;
use super::support::role::Role;
use super::support::stranger::{Backend, Stranger, Told};
use super::support::wait_until;

const MIB: u64 = 1 << 20;
const SOON: Duration = Duration::from_secs(60);

/// A process that does nothing, with its threads and what the allocator keeps.
const IDLE: u64 = 64 * MIB;

/// A worker with one lane before this backend.
fn worker(backend: &Backend, policy: &str, max_bytes: u64, others: &[&str]) -> Role {
    let sink: api::RemoteWriteSinkSpec = serde_json::from_value(json!({
        "lanes": 1, "backend": {"receiverRef": {"name": "store"}}, "ackPolicy": policy, "buffer": {"maxBytes": max_bytes.to_string()}
    }))
    .expect("a sink");
    let plan = plan(sink, &backend.address);
    let addresses: Vec<&str> = std::iter::once("{address}").chain(others.iter().copied()).collect();
    let control = json!({
        "sinkUid": "u", "epoch": 1, "phase": "Stable", "from": addresses.len(), "to": addresses.len(), "lanes": 1,
        "addresses": addresses
    });
    let files = [("plan.json", json!(plan).to_string()), ("control.json", control.to_string())];
    let arguments = ["--plan", "{into}/plan.json", "--control", "{into}/control.json", "--ordinal", "0"];
    Role::start("sink-worker", &files, &arguments)
}

/// A request of series with one sample each.
fn request(names: &[String]) -> Vec<u8> {
    let mut encoder = v1::Encoder::new();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock");
    for name in names {
        let mut block = Vec::new();
        canonical::push_label(&mut block, b"__name__", name.as_bytes());
        encoder.series(&block, &[Sample { timestamp: now.as_millis() as i64, value: 1.0 }]);
    }
    Snappy::new().compress(encoder.body()).to_vec()
}

fn named(name: &str) -> Vec<u8> {
    request(&[name.to_owned()])
}

/// Bytes that nothing can make smaller.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(next).collect()
}

fn accepted(worker: &Role) -> u64 {
    worker.get("/account")["account"]["accepted"].as_u64().expect("a count")
}

#[test]
fn invented_generators_fill_no_memory_and_displace_no_real_one() {
    let backend = Backend::start(false);
    let worker = worker(&backend, "Delivered", 256 * MIB, &[]);
    let own = "Floodmark-Epoch: 1\r\nFloodmark-Request: 0/c0ffee/0/1\r\n";
    let body = named("up");
    let mut generator = Stranger::new(&worker.address);
    assert_eq!(generator.post(own, &body).status, 204);
    let before = worker.peak();
    // 4 strangers, 20000 senders each, every one with names as long as they may be.
    let refused: usize = std::thread::scope(|scope| {
        let strangers: Vec<_> = (0..4)
            .map(|stranger| {
                let address = &worker.address;
                scope.spawn(move || {
                    let mut stranger_of = Stranger::new(address);
                    let mut refused = 0;
                    for sender in 0..20_000 {
                        let name = format!("{stranger}-{sender}-{}", "g".repeat(180));
                        let fault = format!("{sender}{}", "f".repeat(240));
                        let headers = format!(
                            "Floodmark-Epoch: 1\r\nFloodmark-Request: {name}/life/0/1\r\nFloodmark-Fault: {fault}\r\n"
                        );
                        // No series: the least that is remembered.
                        let told = stranger_of.post(&headers, &[0]);
                        assert!(matches!(told.status, 204 | 503), "{told:?}");
                        if told.status == 503 {
                            assert!(told.head.contains("retry-after: 1") && told.head.contains("floodmark-epoch: 1"));
                            refused += 1;
                        }
                    }
                    refused
                })
            })
            .collect();
        strangers.into_iter().map(|stranger| stranger.join().expect("a stranger")).sum()
    });
    assert!(refused >= 80_000 - 16_384, "{refused}");
    let grown = worker.peak().saturating_sub(before);
    println!("{} MiB for 80000 invented senders, {refused} refused", grown / MIB);
    assert!(grown < 32 * MIB, "{} MiB", grown / MIB);
    assert_eq!(generator.post(own, &body).status, 204, "a repeat is known");
    assert_eq!(accepted(&worker), 1, "and taken once");
    assert_eq!(generator.post(&own.replace("/1\r\n", "/2\r\n"), &body).status, 204, "its lane goes on");
}

#[test]
fn bodies_on_their_way_share_what_there_is() {
    let backend = Backend::start(false);
    let limit = 32 * MIB;
    let worker = worker(&backend, "Delivered", limit, &[]);
    let receiver = Role::start("receiver", &[], &[]);
    for (role, room, strangers) in [(&worker, limit, 30), (&receiver, 256 * MIB, 40)] {
        let before = role.peak();
        let part = noise(24 << 20);
        // None of them comes to an end, and each is within the limit of one.
        let mut stalled: Vec<_> = std::thread::scope(|scope| {
            let all: Vec<_> = (0..strangers)
                .map(|_| {
                    let part = &part;
                    scope.spawn(move || {
                        let mut stranger = Stranger::new(&role.address);
                        stranger.send("", 32 << 20, part);
                        stranger
                    })
                })
                .collect();
            all.into_iter().map(|one| one.join().expect("a stranger")).collect()
        });
        let grown = role.peak().saturating_sub(before);
        println!("{} MiB for {strangers} bodies of 24 MiB", grown / MIB);
        assert!(grown < room + IDLE, "{} MiB", grown / MIB);
        // Those who found no room are told to come again, and nothing worse.
        let rest = vec![0; 8 << 20];
        let mut answers = Vec::new();
        for stranger in &mut stalled {
            if stranger.stream().write_all(&rest).is_ok() {
                answers.push(stranger.told());
            }
        }
        let busy: Vec<_> = answers.iter().filter(|told| told.status == 503).collect();
        assert!(!busy.is_empty(), "{answers:?}");
        assert!(busy.iter().all(|told| told.head.contains("retry-after: 1")), "{busy:?}");
        // A worker names its map where it took nothing.
        let names = |told: &&&Told| told.head.contains(protocol::header::EPOCH);
        assert_eq!(busy.iter().filter(names).count(), if room == limit { busy.len() } else { 0 });
        assert!(answers.iter().all(|told| !matches!(told.status, 413 | 429)), "{answers:?}");
        drop(stalled);
        assert_eq!(Stranger::new(&role.address).post("", &named("up")).status, 204, "afterwards all is well");
    }
}

#[test]
fn the_smallest_samples_do_not_become_the_largest_memory() {
    let receiver = Role::start("receiver", &[], &[]);
    let backend = Backend::start(false);
    let worker = worker(&backend, "Buffered", 256 * MIB, &[]);
    // Samples of two bytes in one series, series of two bytes, series of four bytes with a sample.
    let plain = |unit: &[u8], field: bool| {
        let mut units = unit.repeat((31 << 20) / unit.len());
        if field {
            let length = units.len();
            let mut head = vec![0x0a];
            head.extend([
                length as u8 | 0x80,
                (length >> 7) as u8 | 0x80,
                (length >> 14) as u8 | 0x80,
                (length >> 21) as u8,
            ]);
            head.append(&mut units);
            units = head;
        }
        Snappy::new().compress(&units).to_vec()
    };
    let bodies = [plain(&[0x12, 0], true), plain(&[0x0a, 0], false), plain(&[0x0a, 2, 0x12, 0], false)];
    let generator = "Floodmark-Epoch: 1\r\nFloodmark-Request: 0/life/0/1\r\n";
    let mixed = format!("{generator}Floodmark-Fault: Mixed\r\n");
    for (role, headers) in [(&receiver, ""), (&worker, ""), (&worker, generator), (&worker, &mixed)] {
        for (at, body) in bodies.iter().enumerate() {
            let before = role.peak();
            std::thread::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|| {
                        let told = Stranger::new(&role.address).post(headers, body);
                        assert!(matches!(told.status, 204 | 400 | 413 | 503), "{told:?}");
                    });
                }
            });
            let grown = role.peak().saturating_sub(before);
            println!("{} KiB as they came, {at}, {headers:?}: {} MiB", body.len() >> 10, grown / MIB);
            assert!(role.peak() < 256 * MIB + 2 * IDLE, "{} MiB", role.peak() / MIB);
        }
    }
}

#[test]
fn small_requests_fill_the_buffer_and_not_more() {
    let backend = Backend::start(true);
    let limit = 16 * MIB;
    let worker = worker(&backend, "Buffered", limit, &[]);
    let before = worker.peak();
    let mut stranger = Stranger::new(&worker.address);
    let mut taken = 0;
    let told = loop {
        let told = stranger.post("", &named(&format!("m{taken}")));
        if told.status != 204 {
            break told;
        }
        taken += 1;
        assert!(taken < 100_000, "never full");
    };
    assert_eq!(told.status, 503, "{told:?}");
    let grown = worker.peak().saturating_sub(before);
    println!("{taken} requests of a sample: {} MiB", grown / MIB);
    assert!(grown < 2 * limit, "{} MiB", grown / MIB);
    backend.speak();
}

#[test]
fn a_small_body_keeps_nothing_of_what_it_was_read_with() {
    let backend = Backend::start(true);
    let worker = worker(&backend, "Delivered", 64 * MIB, &[]);
    let large = noise(300 << 10);
    let before = worker.peak();
    let waiting: Vec<_> = (0..800)
        .map(|sequence| {
            let mut stranger = Stranger::new(&worker.address);
            // The reader's buffer grows with what comes.
            for _ in 0..4 {
                assert_eq!(stranger.post("", &large).status, 400);
            }
            let headers = format!("Floodmark-Epoch: 1\r\nFloodmark-Request: g/{sequence}/0/1\r\n");
            let body = named(&format!("m{sequence}"));
            assert!(stranger.send(&headers, body.len(), &body));
            // The connection goes, what was taken stays.
            wait_until("it is taken", SOON, || accepted(&worker) == sequence + 1);
        })
        .collect();
    let grown = worker.peak().saturating_sub(before);
    println!("{} held requests of a sample: {} MiB", waiting.len(), grown / MIB);
    assert!(grown < 48 * MIB, "{} MiB", grown / MIB);
}

#[test]
fn parts_for_a_worker_that_does_not_answer_are_bounded_though_their_sender_is_gone() {
    // This process holds the other ends of what the worker has open.
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).expect("more open files");
    let backend = Backend::start(false);
    let deaf = Backend::start(true);
    let worker = worker(&backend, "Delivered", 256 * MIB, &[&deaf.address]);
    let names: Vec<String> = (0..2000).map(|i| format!("m{i}")).collect();
    let body = request(&names);
    let before = worker.peak();
    let mut on_their_way = 0;
    let told = loop {
        let mut stranger = Stranger::new(&worker.address);
        assert!(stranger.send("", body.len(), &body));
        let gone = || stranger.is_answered() || deaf.requests() > on_their_way;
        let deadline = Instant::now() + SOON;
        while !gone() {
            assert!(Instant::now() < deadline, "neither sent on nor refused");
            std::thread::sleep(Duration::from_millis(1));
        }
        if stranger.is_answered() {
            break stranger.told();
        }
        on_their_way += 1;
        assert!(on_their_way < 1500, "never too much");
    };
    println!("{on_their_way} parts, {} open files, {} MiB", worker.open_files(), (worker.peak() - before) / MIB);
    assert_eq!(told.status, 503, "{told:?}");
    assert!(told.text.contains("on its way to other workers"), "{told:?}");
    assert!(worker.open_files() < 1400, "{}", worker.open_files());
    assert!(worker.peak() - before < 160 * MIB, "{} MiB", (worker.peak() - before) / MIB);
    deaf.speak();
}
