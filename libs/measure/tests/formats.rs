//! `.hlog` and `.hgrm` by their rules, and the log read back.
#![expect(clippy::unwrap_used, reason = "tests")]

use floodmark_measure::{Distribution, HlogError, HlogWriter, Recorder, read_hlog, write_hgrm, write_hlog};

fn recorded() -> Distribution {
    let mut recorder = Recorder::new();
    for index in 1..=1000u64 {
        recorder.record_ns(index * 5_000_000, index * 1_000_000);
    }
    recorder.finish().unwrap()
}

fn log(distribution: &Distribution) -> String {
    let mut out = Vec::new();
    write_hlog(&mut out, 1_790_000_000_123_456_789, distribution).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_log_has_the_lines_that_readers_insist_on() {
    let text = log(&recorded());
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "#[Histogram log format version 1.3]");
    assert_eq!(lines[1], "#[StartTime: 1790000000.123 (seconds since epoch)]");
    assert_eq!(lines[2], "#[BaseTime: 1790000000.123 (seconds since epoch)]");
    let legend = "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";
    assert_eq!(lines[4], legend);
    assert!(lines[..5].iter().all(|line| line.len() < 127));
    assert!(lines[5].starts_with("0.000,1.000,0.2"), "{}", lines[5]);
    assert!(lines[5].contains(",HISTF"));
    assert!(lines[lines.len() - 1].starts_with("Tag=total,0.000,6.000,1.0"));
}

#[test]
fn the_log_reads_back_the_same() {
    let distribution = recorded();
    let mut untagged = 0;
    let mut total = None;
    read_hlog(&mut log(&distribution).as_bytes(), |line| match line.tag {
        None => untagged += line.histogram.len(),
        Some(_) => total = Some(line.histogram),
    })
    .unwrap();
    assert_eq!(untagged, 1000);
    assert_eq!(total.as_ref(), Some(distribution.histogram()));
}

#[test]
fn crooked_logs_and_tags_are_refused() {
    let good = log(&recorded());
    let cases = [
        String::new(),
        good.replacen("1.3", "9.9", 1),
        good.replace("HISTF", "HISTX"),
        good.replace("0.000,1.000", "x,1.000"),
        format!("{good}Tag=alone"),
        format!("{good}1,1,1"),
        format!("{good}{}", "9".repeat(600_000)),
    ];
    for case in cases {
        assert!(read_hlog(&mut case.as_bytes(), |_| {}).is_err());
    }
    let mut writer = HlogWriter::new(Vec::new(), 0).unwrap();
    for tag in ["", "a b", "a,b", "a\nb", "ä"] {
        let h = recorded();
        let result = writer.line(Some(tag), 0, 1, h.histogram());
        assert!(matches!(result, Err(HlogError::Tag(_))), "{tag:?}");
    }
}

#[test]
fn the_percentile_file_is_in_milliseconds_and_ends_at_the_maximum() {
    let mut out = Vec::new();
    write_hgrm(&mut out, &recorded()).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0].split_whitespace().collect::<Vec<_>>(),
        ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    );
    assert_eq!(lines[1], "");
    let rows: Vec<Vec<f64>> = lines[2..]
        .iter()
        .take_while(|line| !line.starts_with('#'))
        .map(|line| line.split_whitespace().map(|w| w.parse().unwrap()).collect())
        .collect();
    assert!(rows.windows(2).all(|w| w[0][0] <= w[1][0] && w[0][2] <= w[1][2]));
    let median = rows.iter().find(|row| row[1] >= 0.5).unwrap();
    assert!((median[0] - 500.0).abs() <= 1.0, "{median:?}");
    let last = &rows[rows.len() - 1];
    assert_eq!((last[1], last[2], last.len()), (1.0, 1000.0, 3));
    assert!(text.contains("#[Max     =     1000.000, Total count    =         1000]"));
    assert!(text.contains("#[Buckets ="));
}
