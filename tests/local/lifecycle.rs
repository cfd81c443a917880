//! Ends that nobody wishes for: each is clear, in time, with the right exit code, and leaves nothing behind.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use super::support::documents::{TO_STORE, load_test, load_test_of, receiver, sink};
use super::support::run::{Run, alive};
use super::support::{free_port, skip, wait_until};

const LIMIT: Duration = Duration::from_secs(120);

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
    run.signal(Signal::INT);
    let ended = run.end(Duration::from_secs(40)).expect_code(130);
    let summary = ended.summary();
    assert_eq!(summary["verdict"], "Inconclusive");
    assert!(summary["reasons"].to_string().contains("interrupted"), "{}", summary["reasons"]);
    assert!(summary["samples"]["acknowledged"].as_u64() > Some(0));
    for (pid, line) in children {
        assert!(!alive(pid), "{pid} is left: {line}");
    }
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
fn a_backend_that_is_never_up_is_inconclusive() {
    let backend = format!("{{url: 'http://127.0.0.1:{}/api/v1/write'}}", free_port());
    let document = sink(1, 1, &backend, "") + &load_test(&SHORT.replace("40s", "8s"));
    let started = std::time::Instant::now();
    let ended = Run::start(&document, &[]).end(LIMIT).expect_code(3);
    assert!(started.elapsed() < Duration::from_secs(25), "{:?}", started.elapsed());
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
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for entry in fs::read_dir(root.join("examples")).expect("examples").flatten() {
        let output =
            Command::new(env!("CARGO_BIN_EXE_floodmark")).arg("validate").arg(entry.path()).output().expect("validate");
        assert!(output.status.success(), "{}: {}", entry.path().display(), String::from_utf8_lossy(&output.stderr));
    }
    let folder = tempfile::TempDir::new().expect("a folder");
    let status =
        Command::new(env!("CARGO_BIN_EXE_floodmark")).args(["crds", "-o"]).arg(folder.path()).status().expect("crds");
    assert!(status.success());
    for entry in fs::read_dir(folder.path()).expect("definitions").flatten() {
        let kept = fs::read(root.join("crds").join(entry.file_name())).unwrap_or_default();
        assert!(
            kept == fs::read(entry.path()).expect("a definition"),
            "{:?} is out of date: run 'cargo run --release -- crds -o crds'",
            entry.file_name()
        );
    }
}
