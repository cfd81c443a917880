//! Ends that nobody wishes for: each is clear, in time, with the right exit code, and leaves nothing behind.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::shared::{root, skip};
use super::support::documents::{TO_STORE, load_test, load_test_of, receiver, sink};
use super::support::http::get;
use super::support::run::{Run, alive};
use super::support::{free_port, wait_until};

const LIMIT: Duration = Duration::from_secs(120);

/// What a run may need beyond its deadline, and a starved machine for starting the command.
const OVERDUE: Duration = Duration::from_secs(2);

const LONG: &str = "  workload:
    - {name: app, targets: 20, seriesPerTarget: 100, scrapeInterval: 1s, metrics: 20}
  stages:
    - {for: 10m}
  deadline: 15m";

const SHORT: &str = "  workload:
    - {name: app, targets: 5, seriesPerTarget: 20, scrapeInterval: 1s, metrics: 5}
  stages:
    - {for: 3s}
  deadline: 40s";

fn long_run(more: &[&str]) -> Run {
    let run = Run::start(&(receiver("") + &sink(2, 2, TO_STORE, "") + &load_test(LONG)), more);
    // The first line comes with t0, the second one five seconds later.
    wait_until("the run flows", Duration::from_secs(60), || run.output().matches("running").count() >= 2);
    run
}

#[test]
fn ctrl_c_writes_a_partial_report_and_leaves_no_process() {
    let run = long_run(&[]);
    let children = run.children();
    assert_eq!(children.len(), 4, "{children:?}");
    run.signal_all(Signal::INT);
    let ended = run.end(Duration::from_secs(40)).expect_code(130);
    let summary = ended.summary();
    assert_eq!(summary["verdict"], "Inconclusive");
    let reasons = summary["reasons"].to_string();
    assert!(reasons.contains("interrupted") && !reasons.contains("did not reach"), "{reasons}");
    assert!(summary["samples"]["acknowledged"].as_u64() > Some(0));
    for (pid, line) in children {
        assert!(!alive(pid), "{pid} is left: {line}");
    }
}

/// A terminal that closes, Ctrl-\\, and who asks politely: all get the report, and nothing is left.
#[test]
fn hangup_quit_and_terminate_write_a_partial_report() {
    // What ignores it from its start, as under nohup, goes on.
    let ignored = telemetry::ignores_hangup();
    for signal in
        [Signal::HUP, Signal::QUIT, Signal::TERM].into_iter().filter(|signal| !ignored || *signal != Signal::HUP)
    {
        let run = long_run(&[]);
        let children = run.children();
        run.signal(signal);
        let ended = run.end(Duration::from_secs(40)).expect_code(130);
        assert!(ended.summary()["reasons"].to_string().contains("interrupted"), "{signal:?}");
        assert!(!ended.results().join(".control").exists(), "{signal:?}");
        assert!(children.iter().all(|(pid, _)| !alive(*pid)), "{signal:?}");
    }
}

/// The same documents in another namespace.
fn elsewhere(document: &str, namespace: &str) -> String {
    document.replace("metadata: {", &format!("metadata: {{namespace: {namespace}, "))
}

#[test]
fn tests_that_an_interrupt_keeps_from_running_are_named() {
    let first = receiver("") + &sink(1, 1, TO_STORE, "") + &load_test(LONG);
    let document = format!("{first}---\n{}", elsewhere(&first, "second"));
    let run = Run::start(&document, &["-q"]);
    wait_until("the first test has parts", LIMIT, || run.children().len() == 3);
    run.signal(Signal::TERM);
    let ended = run.end(Duration::from_secs(40)).expect_code(130);
    assert!(ended.stdout.contains("second.test was not run: interrupted"), "{}", ended.all());
    assert!(ended.results().join("default.test/summary.json").exists(), "{}", ended.all());
    assert!(!ended.stdout.contains("report:") && ended.stdout.contains("Inconclusive"), "-q: {}", ended.all());
}

/// Every sample that was due is in the account, those in flight at the deadline too.
#[test]
fn a_target_that_hangs_until_the_deadline_leaves_a_whole_account() {
    let document = receiver("  answers:\n    - {type: Hang, from: 2s}")
        + &sink(2, 2, TO_STORE, "")
        + &load_test(&SHORT.replace("3s", "8s").replace("40s", "14s"));
    for document in [&document, &document.replace("{sinkRef: {name: sink}}", "{receiverRef: {name: store}}")] {
        let ended = Run::start(document, &[]).end(Duration::from_secs(14) + OVERDUE).expect_code(3);
        let summary = ended.summary();
        let count = |pointer: &str| summary.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or(0);
        assert_eq!(count("/samples/generated"), 800, "{}", summary["samples"]);
        assert!(count("/samples/unresolved") > 0 && count("/samples/skipped/end") > 0, "{}", summary["samples"]);
        assert!(!summary["reasons"].to_string().contains("did not close its account"), "{}", summary["reasons"]);
    }
}

#[test]
fn parts_that_hang_do_not_hold_up_the_deadline() {
    let deadline = Duration::from_secs(20);
    let document =
        receiver("") + &sink(2, 2, TO_STORE, "") + &load_test(&LONG.replace("10m", "15s").replace("15m", "20s"));
    let started = std::time::Instant::now();
    let run = Run::start(&document, &[]);
    wait_until("the run flows", deadline / 2, || run.output().matches("running").count() >= 1);
    for (child, line) in run.children() {
        let pid = rustix::process::Pid::from_raw(i32::try_from(child).expect("a pid")).expect("a pid");
        rustix::process::kill_process(pid, Signal::STOP).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
    let ended = run.end((deadline + OVERDUE).saturating_sub(started.elapsed())).expect_code(3);
    assert!(ended.summary()["reasons"].to_string().contains("deadline"), "{}", ended.all());
}

#[test]
fn what_a_part_could_not_use_is_a_usage_error_that_names_the_argument() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (junk, good) = (file("junk", "junk"), file("good", "x"));
    let backend = "{url: 'https://mimir/api/v1/write', basicAuth: {username: {name: m, key: user}, password: {name: m, key: password}}, tlsConfig: {ca: {secret: {name: m, key: ca}}}}";
    let to_mimir = sink(1, 1, backend, "") + &load_test(SHORT);
    let tls = "  tlsConfig: {cert: {secret: {name: m, key: cert}}, keySecret: {name: m, key: key}}";
    let own_tls = receiver(tls) + &sink(1, 1, TO_STORE, "") + &load_test(SHORT);
    let user = format!("m/user={good}");
    let password = format!("m/password={good}");
    let (ca, cert, key) = (format!("m/ca={junk}"), format!("m/cert={junk}"), format!("m/key={junk}"));
    let directory = format!("m/password={}", folder.path().display());
    let cases: [(&str, &[&str], &str); 5] = [
        (&to_mimir, &[&user, &password, &ca], "holds no certificate"),
        (&to_mimir, &[&user, &directory], &directory),
        (&to_mimir, &[&user, &password, &user], "has a file already"),
        (&to_mimir, &[&user, &password], "--secret m/ca=PATH"),
        (&own_tls, &[&cert, &key], "spec.tlsConfig"),
    ];
    for (document, secrets, expected) in cases {
        let arguments: Vec<&str> = secrets.iter().flat_map(|secret| ["--secret", *secret]).collect();
        let ended = Run::start(document, &arguments).end(Duration::from_secs(20)).expect_code(2);
        assert!(
            ended.stderr.contains(expected) && ended.stderr.contains("--secret m/"),
            "{expected}: {}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("run "), "nothing starts: {}", ended.stderr);
    }
    let ended = Run::start(&to_mimir, &["--resolve", "mimir=nowhere"]).end(Duration::from_secs(20)).expect_code(2);
    assert!(ended.stderr.contains("--resolve mimir=nowhere"), "{}", ended.stderr);
}

/// The engine reads the document once; a part that cannot use it must not be started again until the deadline.
#[test]
fn a_part_that_ends_before_it_was_of_use_ends_the_run() {
    let backend = format!("{{url: 'http://127.0.0.1:{}/api/v1/write'}}", free_port());
    let run = Run::start(&(sink(1, 1, &backend, "") + &load_test(SHORT)), &[]);
    wait_until("the run waits for its backend", LIMIT, || run.output().contains("waiting"));
    let children = run.children();
    let (worker, _) = children.iter().find(|(_, line)| line.contains("sink-worker")).expect("a worker");
    let worker = rustix::process::Pid::from_raw(i32::try_from(*worker).expect("a pid")).expect("a pid");
    rustix::process::kill_process(worker, Signal::KILL).expect("SIGKILL");
    let ended = run.end(Duration::from_secs(10)).expect_code(3);
    let reasons = ended.summary()["reasons"].to_string();
    assert!(reasons.contains("sink-worker 0: killed by signal 9: "), "{reasons}");
}

#[test]
fn a_role_that_cannot_use_its_configuration_says_so_by_its_exit_status() {
    let junk = tempfile::NamedTempFile::new().expect("a file");
    let path = junk.path().display().to_string();
    for arguments in [
        vec!["receiver", "--control", &path],
        vec!["sink-worker", "--plan", &path, "--control", &path, "--ordinal", "0"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_floodmark")).args(&arguments).output().expect("a role");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn two_runs_do_not_share_a_folder_and_a_killed_one_gives_it_back() {
    let run = long_run(&[]);
    let results = run.folder.path().join("results");
    let second = |limit| {
        let document = receiver("") + &sink(1, 1, TO_STORE, "") + &load_test(SHORT);
        Run::start_in(tempfile::TempDir::new().expect("a folder"), &document, &results, &[]).end(limit)
    };
    let refused = second(Duration::from_secs(20));
    assert_eq!(refused.code(), Some(2), "{}", refused.all());
    assert!(refused.stderr.contains("another run") && refused.stderr.contains("-o DIR"), "{}", refused.stderr);
    run.signal(Signal::KILL);
    let killed = run.end(Duration::from_secs(5));
    assert!(killed.results().join(".control").exists(), "a killed run cannot clean up");
    let taken = second(LIMIT);
    assert_eq!(taken.code(), Some(0), "{}", taken.all());
    assert!(!taken.stderr.contains("ended unexpectedly"), "a generator leaves by itself: {}", taken.stderr);
    assert!(!killed.results().join(".control").exists());
}

#[test]
fn a_served_sink_tells_what_it_took_when_it_ends() {
    let run = Run::start(&(receiver("") + &sink(1, 1, TO_STORE, "")), &["--secret", "a/b=/proc/version"]);
    wait_until("the sink serves", LIMIT, || run.output().contains("takes Remote-Write"));
    wait_until("the worker tells its account", LIMIT, || {
        let output = run.output();
        let url = output.lines().filter(|line| line.starts_with("sink ")).find_map(|line| line.split("http://").nth(1));
        let address = url.and_then(|url| url.split('/').next()).unwrap_or_default();
        get(address, "/account").is_ok_and(|(status, _)| status == 200)
    });
    run.signal(Signal::INT);
    let ended = run.end(Duration::from_secs(20)).expect_code(0);
    assert!(ended.stderr.contains("stopped: sink-worker 0 accepted 0 samples"), "{}", ended.stderr);
    assert!(ended.stderr.contains("--secret a/b=/proc/version is not used"), "{}", ended.stderr);
}

#[test]
fn sinks_of_one_name_obey_each_its_own_document() {
    let one = |lanes| receiver("") + &sink(1, lanes, TO_STORE, "");
    let document = elsewhere(&one(1), "a") + &elsewhere(&one(2), "b");
    let run = Run::start(&document, &[]);
    wait_until("both serve", LIMIT, || run.output().matches("takes Remote-Write").count() == 4);
    let output = run.output();
    let mut stores = Vec::new();
    for (namespace, lanes) in [("a", 1), ("b", 2)] {
        let read = |name: &str| -> serde_json::Value {
            let path = run.folder.path().join(format!("results/.control/{name}-{namespace}.sink.json"));
            serde_json::from_slice(&fs::read(path).expect("a document")).expect("JSON")
        };
        let (plan, ownership) = (read("sink"), read("ownership"));
        assert_eq!(ownership["lanes"], lanes, "{namespace}");
        let (worker, store) = (ownership["addresses"][0].as_str(), plan["backend"]["url"].as_str());
        for (what, address) in [("sink", worker), ("store", store)] {
            let line = output.lines().find(|line| line.contains(&format!("{namespace}.{what} takes")));
            let line = line.unwrap_or_else(|| panic!("{namespace}.{what}: {output}"));
            assert!(line.contains(address.expect("an address")), "{line}: {address:?}");
        }
        stores.push(plan["backend"]["url"].clone());
    }
    assert_ne!(stores[0], stores[1]);
    run.signal(Signal::INT);
    run.end(Duration::from_secs(20)).expect_code(0);
}

#[test]
fn a_killed_parent_takes_all_children_with_it_even_a_stopped_one() {
    let run = long_run(&[]);
    let children = run.children();
    assert_eq!(children.len(), 4, "{children:?}");
    let (stopped, _) = children.iter().find(|(_, line)| line.contains("sink-worker")).expect("a worker");
    let stopped = rustix::process::Pid::from_raw(i32::try_from(*stopped).expect("a pid")).expect("a pid");
    rustix::process::kill_process(stopped, Signal::STOP).expect("SIGSTOP");
    run.signal(Signal::KILL);
    let _ = run.end(Duration::from_secs(5));
    wait_until("all children are gone", Duration::from_secs(10), || children.iter().all(|(pid, _)| !alive(*pid)));
}

#[test]
fn a_port_in_use_is_a_usage_error() {
    let held = TcpListener::bind(("127.0.0.1", free_port())).expect("a listener");
    let address = held.local_addr().expect("an address").to_string();
    let document = receiver("") + &sink(1, 1, TO_STORE, "") + &load_test(SHORT);
    let ended = Run::start(&document, &["--listen", &address]).end(LIMIT).expect_code(2);
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("--listen"), "{}", ended.stderr);
}

#[test]
fn a_port_that_nobody_could_find_is_a_usage_error() {
    for document in
        [receiver("") + &sink(1, 1, TO_STORE, ""), receiver("") + &sink(1, 1, TO_STORE, "") + &load_test(SHORT)]
    {
        let ended = Run::start(&document, &["--listen", "127.0.0.1:0"]).end(LIMIT).expect_code(2);
        assert!(ended.stderr.contains("--listen 127.0.0.1:0: 0 is no port"), "{}", ended.stderr);
    }
}

#[test]
fn a_backend_that_is_never_up_is_inconclusive() {
    let backend = format!("{{url: 'http://127.0.0.1:{}/api/v1/write'}}", free_port());
    let document = sink(1, 1, &backend, "") + &load_test(&SHORT.replace("40s", "8s"));
    let ended = Run::start(&document, &[]).end(Duration::from_secs(8) + OVERDUE).expect_code(3);
    let reasons = ended.summary()["reasons"].to_string();
    assert!(reasons.contains("127.0.0.1") && reasons.contains("refused"), "{reasons}");
}

#[test]
fn a_backend_that_answers_401_is_inconclusive_and_names_it() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || unauthorised(stream));
        }
    });
    let backend = format!("{{url: 'http://{address}/api/v1/write'}}");
    let through_a_sink = sink(1, 1, &backend, "") + &load_test(SHORT);
    let direct = load_test_of(&format!("{{endpoint: {backend}}}"), SHORT);
    for document in [through_a_sink, direct] {
        let ended = Run::start(&document, &[]).end(LIMIT).expect_code(3);
        let reasons = ended.summary()["reasons"].to_string();
        assert!(reasons.contains("401") && reasons.contains("go away"), "{reasons}");
    }
}

fn unauthorised(mut stream: std::net::TcpStream) {
    let mut buffer = [0u8; 16384];
    let _ = stream.read(&mut buffer);
    let _ = stream.write_all(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 7\r\nConnection: close\r\n\r\ngo away");
}

#[test]
fn a_full_disk_under_results_is_told() {
    let mount = tempfile::TempDir::new().expect("a folder");
    let path = mount.path();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(path).status();
    if !mounted.is_ok_and(|status| status.success()) {
        skip("a_full_disk_under_results_is_told", "cannot mount a tmpfs here (needs root)");
        return;
    }
    let document = receiver("") + &sink(1, 1, TO_STORE, "") + &load_test(SHORT);
    let folder = tempfile::TempDir::new().expect("a folder");
    let ended = Run::start_in(folder, &document, path, &[]).end(LIMIT);
    let _ = Command::new("umount").arg(path).status();
    assert_eq!(ended.code(), Some(3), "{}", ended.all());
    assert!(ended.stderr.contains("No space left"), "{}", ended.all());
    assert!(ended.stdout.contains("Passed"), "the verdict itself is printed: {}", ended.all());
}

#[test]
fn bad_documents_name_file_line_field_and_fix() {
    let document = receiver("") + &sink(1, 1, TO_STORE, "") + &load_test(&SHORT.replace("for: 3s", "for: 3s, rat: 5k"));
    let ended = Run::start(&document, &[]).end(LIMIT).expect_code(2);
    let line = document.lines().position(|line| line.contains("rat:")).expect("the line") + 1;
    assert!(ended.stderr.contains(&format!("test.yaml:{line}:")), "{}", ended.stderr);
    assert!(ended.stderr.contains("stages[0]") && ended.stderr.contains("rate"), "{}", ended.stderr);
}

#[test]
fn examples_are_valid_and_the_definitions_are_current() {
    for entry in fs::read_dir(root().join("examples")).expect("examples").flatten() {
        let output =
            Command::new(env!("CARGO_BIN_EXE_floodmark")).arg("validate").arg(entry.path()).output().expect("validate");
        assert!(output.status.success(), "{}: {}", entry.path().display(), String::from_utf8_lossy(&output.stderr));
    }
    let folder = tempfile::TempDir::new().expect("a folder");
    let status =
        Command::new(env!("CARGO_BIN_EXE_floodmark")).args(["crds", "-o"]).arg(folder.path()).status().expect("crds");
    assert!(status.success());
    for entry in fs::read_dir(folder.path()).expect("definitions").flatten() {
        let kept = fs::read(root().join("crds").join(entry.file_name())).unwrap_or_default();
        assert!(
            kept == fs::read(entry.path()).expect("a definition"),
            "{:?} is out of date: run 'cargo run --release -- crds -o crds'",
            entry.file_name()
        );
    }
}
