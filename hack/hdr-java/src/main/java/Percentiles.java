import java.io.File;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.HdrHistogram.EncodableHistogram;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramLogReader;

/** Reads a .hlog with the reference implementation and prints what it finds, one line an interval and one a tag. */
public final class Percentiles {
    private static final double[] POINTS = {50, 90, 95, 99, 99.9, 100};

    public static void main(String[] arguments) throws Exception {
        HistogramLogReader reader = new HistogramLogReader(new File(arguments[0]));
        Map<String, Histogram> byTag = new TreeMap<>();
        for (EncodableHistogram next; (next = reader.nextIntervalHistogram()) != null; ) {
            Histogram interval = (Histogram) next;
            String tag = interval.getTag() == null ? "-" : interval.getTag();
            System.out.printf(Locale.ROOT, "interval %s %d %d %d%n", tag, interval.getStartTimeStamp(),
                    interval.getEndTimeStamp(), interval.getTotalCount());
            Histogram sum = byTag.get(tag);
            if (sum == null) {
                byTag.put(tag, interval.copy());
            } else {
                sum.add(interval);
            }
        }
        byTag.forEach((tag, sum) -> {
            StringBuilder line = new StringBuilder("tag " + tag + " " + sum.getTotalCount());
            for (double point : POINTS) {
                line.append(' ').append(sum.getValueAtPercentile(point));
            }
            System.out.println(line);
        });
    }
}
