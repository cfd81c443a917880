//! Real processes: this test binary runs itself as parent and child.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use floodmark_telemetry::parent::{EXIT_ORPHANED, Lifeline, end_when_closed};

const ROLE: &str = "PARENT_TEST_ROLE";

/// Not a test of its own: what the re-run processes do.
#[test]
fn role() {
    match std::env::var(ROLE).as_deref() {
        Ok("child") => {
            end_when_closed(0).unwrap();
            println!("child is up");
            loop {
                std::thread::park();
            }
        }
        Ok("parent") => {
            let (_lifeline, stdin) = Lifeline::new().unwrap();
            let mut child = command("child").stdin(stdin).stdout(Stdio::inherit()).spawn().unwrap();
            child.wait().unwrap();
        }
        Ok("no-pipe") => {
            let error = end_when_closed(0).unwrap_err();
            println!("child is up, but {error}");
        }
        _ => {}
    }
}

fn command(role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "role", "--nocapture", "--test-threads=1"]).env(ROLE, role).stdout(Stdio::piped());
    command
}

/// Waits for the child's line, and gives the line and the rest of its output.
fn up(child: &mut Child) -> (String, BufReader<ChildStdout>) {
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("child is up") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0, "ended before it was up");
    }
    (line, output)
}

/// The end of the output comes when the last process that holds it has ended.
fn wait_for_end(mut output: BufReader<ChildStdout>) {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut rest = String::new();
        sender.send(output.read_to_string(&mut rest).map(|_| rest))
    });
    receiver.recv_timeout(Duration::from_secs(20)).expect("still running").unwrap();
}

#[test]
fn a_child_ends_with_its_lifeline_even_beside_younger_siblings() {
    let (first_line, first_stdin) = Lifeline::new().unwrap();
    let mut first = command("child").stdin(first_stdin).spawn().unwrap();
    let (_, output) = up(&mut first);
    // Forked while the first one's writing end is open here.
    let (second_line, second_stdin) = Lifeline::new().unwrap();
    let mut second = command("child").stdin(second_stdin).spawn().unwrap();
    let (_, second_output) = up(&mut second);

    drop(first_line);
    wait_for_end(output);
    assert_eq!(first.wait().unwrap().code(), Some(EXIT_ORPHANED));
    assert!(second.try_wait().unwrap().is_none(), "the sibling lives on");

    drop(second_line);
    wait_for_end(second_output);
    assert_eq!(second.wait().unwrap().code(), Some(EXIT_ORPHANED));
}

#[test]
fn a_child_ends_when_its_parent_is_killed() {
    let mut parent = command("parent").stdin(Stdio::null()).spawn().unwrap();
    let (_, output) = up(&mut parent);
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait_for_end(output);
}

#[test]
fn what_is_no_pipe_is_refused() {
    let mut child = command("no-pipe").stdin(Stdio::null()).spawn().unwrap();
    let (line, output) = up(&mut child);
    assert!(line.contains("no pipe"), "{line}");
    wait_for_end(output);
    child.wait().unwrap();
}
