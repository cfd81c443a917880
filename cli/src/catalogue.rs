//! `floodmark faults`: the catalogue as a table or as JSON.

use std::io::Write;

use faults::catalogue::{PROFILES, catalogue};
use serde_json::json;

use crate::args::Faults;

pub(crate) fn faults(arguments: &Faults) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let entries: Vec<_> = catalogue()
            .map(|entry| {
                let verdicts =
                    PROFILES.iter().map(|profile| (format!("{profile:?}"), entry.verdict(*profile).to_string().into()));
                json!({
                    "id": entry.id,
                    "name": entry.name,
                    "class": format!("{:?}", entry.class),
                    "summary": entry.summary,
                    "spec": entry.spec.to_string(),
                    "profiles": verdicts.collect::<serde_json::Map<_, _>>(),
                    "rule": entry.rule,
                    "available": entry.available,
                })
            })
            .collect();
        serde_json::to_writer_pretty(&mut out, &entries)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "ok: 2xx and stored; drop: 2xx but lost; a number: refused with it; -: not laid down")?;
    writeln!(out, "* can be asked for in a document today; the others are refused by name\n")?;
    write!(out, "{:<5}{:<28}{:>5}", "id", "name", "spec")?;
    for profile in PROFILES {
        write!(out, " {:>15}", format!("{profile:?}"))?;
    }
    writeln!(out)?;
    for entry in catalogue() {
        let mark = if entry.available { "*" } else { " " };
        write!(out, "{:<4}{mark}{:<28}{:>5}", entry.id, entry.name, entry.spec.to_string())?;
        if entry.rule.is_empty() {
            for profile in PROFILES {
                write!(out, " {:>15}", entry.verdict(profile).to_string())?;
            }
            writeln!(out)?;
        } else {
            writeln!(out, "  {}", entry.rule)?;
        }
    }
    Ok(())
}
