//! Tracing is global to a process, so each look at it is a process of its own: this test binary, run again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper is a failed test")]

use std::process::{Command, Stdio};
use std::time::Duration;

use floodmark_telemetry::{Limiter, log, warn_limited};

const FORMAT: &str = "LOG_TEST_FORMAT";

static LIMITER: Limiter = Limiter::new(1, Duration::from_hours(1));

/// Not a test of its own: what the re-run process does.
#[test]
fn role() {
    let Ok(format) = std::env::var(FORMAT) else { return };
    log::init(format.parse().unwrap(), None).unwrap();
    assert!(matches!(log::init(log::Format::Text, None), Err(log::LogError::Twice)));
    for status in [500, 503] {
        warn_limited!(LIMITER, status, "dropped a request");
    }
}

fn stderr_of(format: &str, level: &str) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "role", "--nocapture"])
        .env(FORMAT, format)
        .env(log::LEVEL_VARIABLE, level)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn json_is_one_object_a_line_and_says_what_was_held_back() {
    let text = stderr_of("json", "info");
    let events: Vec<serde_json::Value> = text.lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
    assert_eq!(events.len(), 1, "{text}");
    assert_eq!((events[0]["level"].as_str(), events[0]["status"].as_i64()), (Some("WARN"), Some(500)));
    assert_eq!(events[0]["suppressed"], 0);
    assert_eq!(events[0]["message"], "dropped a request");
}

#[test]
fn text_has_no_colours_off_a_terminal_and_the_level_counts() {
    let text = stderr_of("text", "warn");
    assert!(text.contains("WARN") && text.contains("dropped a request") && !text.contains('\u{1b}'), "{text:?}");
    assert!(!stderr_of("text", "error").contains("dropped a request"));
}
