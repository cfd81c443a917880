//! `.hgrm`: latency by percentile as the web plotter takes it, in milliseconds.
use std::io::{self, Write};

use crate::distribution::Distribution;

/// Writes value (ms), percentile, total count and `1/(1-percentile)`, then the footer; five ticks each half distance.
pub fn write_hgrm(out: &mut impl Write, distribution: &Distribution) -> io::Result<()> {
    let h = distribution.histogram();
    writeln!(out, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let ms = |us: u64| us as f64 / 1000.0;
    let mut below = 0;
    for step in h.iter_quantiles(5) {
        let at = step.quantile_iterated_to();
        let value = ms(step.value_iterated_to());
        below += step.count_since_last_iteration();
        if at < 1.0 {
            let inverse = 1.0 / (1.0 - at);
            writeln!(out, "{value:>12.3} {at:>14.12} {below:>10} {inverse:>14.2}")?;
        } else {
            writeln!(out, "{value:>12.3} {at:>14.12} {below:>10}")?;
        }
    }
    writeln!(out, "#[Mean    = {:>12.3}, StdDeviation   = {:>12.3}]", h.mean() / 1000.0, h.stdev() / 1000.0)?;
    writeln!(out, "#[Max     = {:>12.3}, Total count    = {:>12}]", distribution.max().ms(), h.len())?;
    writeln!(out, "#[Buckets = {:>12}, SubBuckets     = {:>12}]", h.buckets(), 2048)
}
