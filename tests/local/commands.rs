//! The subcommands that only read and print: what they say, where, and with which exit code.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

use super::shared::root;
use super::support::documents::{TO_STORE, receiver, sink};
use super::support::wait_until;

fn floodmark(arguments: &[&str], folder: &TempDir, stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_floodmark"))
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let text = stdin.to_owned();
    let mut pipe = child.stdin.take().expect("a pipe");
    // The command may end before it has read everything.
    let writer = std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
    let output = child.wait_with_output().expect("the command ends");
    writer.join().expect("the writer ends");
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn each_problem_is_a_line_of_its_own_and_the_last_line_counts_them() {
    let folder = TempDir::new().expect("a folder");
    let wrong = sink(1, 1, TO_STORE, "") + &receiver("");
    fs::write(folder.path().join("a.yaml"), wrong.replace("replicas: 1", "replicas: x\n  colour: red")).expect("a");
    fs::write(folder.path().join("b.yaml"), "kind: Lodatest\n").expect("b");
    for command in ["validate", "run"] {
        let output = floodmark(&[command, "a.yaml", "b.yaml"], &folder, "");
        assert_eq!(output.status.code(), Some(2));
        let report = text(&output.stderr);
        let (last, problems) = {
            let mut lines: Vec<&str> = report.lines().collect();
            (lines.pop().expect("a last line"), lines)
        };
        assert_eq!((last, problems.len()), ("3 problems in 2 files", 3), "{report}");
        for (problem, file) in problems.iter().zip(["a.yaml:", "a.yaml:", "b.yaml:1:7: kind: "]) {
            assert!(problem.starts_with(file), "{report}");
        }
    }
}

#[test]
fn files_that_are_complete_stand_alone_with_each() {
    let folder = TempDir::new().expect("a folder");
    let whole = sink(1, 1, TO_STORE, "") + &receiver("");
    for name in ["a.yaml", "b.yaml"] {
        fs::write(folder.path().join(name), &whole).expect("a document");
    }
    let together = floodmark(&["validate", "a.yaml", "b.yaml"], &folder, "");
    assert_eq!(together.status.code(), Some(2));
    let report = text(&together.stderr);
    assert!(report.contains("is given twice (first at a.yaml:") && report.contains("validate --each"), "{report}");

    let each = floodmark(&["validate", "--each", "a.yaml", "b.yaml"], &folder, "");
    assert!(each.status.success(), "{}", text(&each.stderr));
    for line in ["a.yaml: RemoteWriteSink/sink is valid", "b.yaml: RemoteWriteReceiver/store is valid"] {
        assert!(text(&each.stdout).lines().any(|printed| printed == line), "{}", text(&each.stdout));
    }

    let first = root().join("examples/first.yaml");
    let said = text(&floodmark(&["validate", &first.display().to_string()], &folder, "").stdout);
    assert_eq!(said, "LoadTest/first is valid: 1000 series, 30000 samples in 30 s (1000 a second)\n");

    fs::write(folder.path().join("b.yaml"), sink(1, 1, TO_STORE, "")).expect("a document");
    let each = floodmark(&["validate", "--each", "a.yaml", "b.yaml"], &folder, "");
    assert_eq!(each.status.code(), Some(2), "references stay inside a file");
    assert!(text(&each.stderr).starts_with("b.yaml:"), "{}", text(&each.stderr));
    assert!(text(&each.stderr).ends_with("\n1 problem in 1 file\n"), "{}", text(&each.stderr));
}

#[test]
fn standard_input_is_a_file_like_others_and_bounded() {
    let folder = TempDir::new().expect("a folder");
    let whole = sink(1, 1, TO_STORE, "") + &receiver("");
    let output = floodmark(&["validate", "-"], &folder, &whole);
    assert!(output.status.success(), "{}", text(&output.stderr));
    for command in ["validate", "run"] {
        let output = floodmark(&[command, "-"], &folder, &whole.replace("replicas", "replcias"));
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).starts_with("<stdin>:"), "{}", text(&output.stderr));
    }
    for (arguments, stdin, expected) in [
        (["validate", "-", "-"], "", "standard input can be read once"),
        (["validate", "--each", "-"], &*"#".repeat((1 << 20) + 1), "<stdin> has more than 1048576 bytes"),
    ] {
        let output = floodmark(&arguments, &folder, stdin);
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    }
}

#[test]
fn nobody_is_told_that_the_reader_of_a_pipe_has_gone() {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("a.yaml"), receiver("")).expect("a document");
    for arguments in
        [&["crds"][..], &["faults"], &["faults", "--json"], &["completions", "bash"], &["validate", "a.yaml"]]
    {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_floodmark"))
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .expect("the command ends");
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn a_report_is_made_from_a_summary_of_this_schema_only() {
    let folder = TempDir::new().expect("a folder");
    for (summary, expected) in [
        ("{}", "summary.json: it names no schema, and \"floodmark.dev/summary/v1\" is expected"),
        (
            "{\"schema\": \"floodmark.dev/summary/v2\"}",
            "its schema is \"floodmark.dev/summary/v2\", and this version reads",
        ),
        ("{\"schema\": null, \"version\": \"9.9.9\"}", "its schema is null, and"),
        ("{", "summary.json: it is not JSON"),
    ] {
        fs::write(folder.path().join("summary.json"), summary).expect("a summary");
        let output = floodmark(&["report", "."], &folder, "");
        assert_eq!(output.status.code(), Some(2), "{summary}");
        assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
        assert!(!folder.path().join("report.html").exists(), "{summary}");
    }
}

#[test]
fn a_role_may_have_as_many_files_open_as_the_system_lets_it() {
    let script = format!("ulimit -Sn 64; exec {} receiver --listen 127.0.0.1:0", env!("CARGO_BIN_EXE_floodmark"));
    let mut role = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).spawn().expect("it starts");
    let limits = format!("/proc/{}/limits", role.id());
    let raised = || {
        let text = fs::read_to_string(&limits).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default().to_owned();
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        words.len() > 1 && words[0] == words[1]
    };
    wait_until("the limit is raised", std::time::Duration::from_secs(20), raised);
    role.kill().expect("it runs");
    role.wait().expect("it ends");
}
