//! Lines of the log as others may read them: without the names of documents, and the same trouble not over and over again.

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::repeated::{Repeated, Verdict};
use crate::discreet::discreet;

/// Formats events by another format, and looks at what it makes.
pub(super) struct Careful<F> {
    inner: F,
    is_json: bool,
    /// Names of documents are hidden.
    is_discreet: bool,
    /// Warnings and errors that repeat themselves are held back.
    repeated: Option<Repeated>,
}

impl<F> Careful<F> {
    /// Everything as it comes, or, where it `is_careful`, without names of documents and repetitions.
    pub(super) fn new(inner: F, is_json: bool, is_careful: bool) -> Self {
        Self { inner, is_json, is_discreet: is_careful, repeated: is_careful.then(Repeated::default) }
    }

    /// Says at the end of a line how often the same came in between.
    fn count(&self, line: &mut String, repeated: u64) {
        let kept = line.trim_end().len();
        line.truncate(kept);
        if self.is_json && line.ends_with('}') {
            line.pop();
            *line += &format!(",\"repeated\":{repeated}}}\n");
        } else {
            *line += &format!(" repeated={repeated}\n");
        }
    }
}

impl<S, N, F> FormatEvent<S, N> for Careful<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> std::fmt::Result {
        let is_trouble = *event.metadata().level() <= Level::WARN;
        let verdict = self.repeated.as_ref().filter(|_| is_trouble).map(|repeated| repeated.judge(event));
        if verdict == Some(Verdict::HoldBack) {
            return Ok(());
        }
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        if let Some(Verdict::Tell { repeated: repeated @ 1.. }) = verdict {
            self.count(&mut line, repeated);
        }
        if self.is_discreet {
            line = discreet(&line);
        }
        writer.write_str(&line)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tracing_subscriber::fmt::MakeWriter;
    use tracing_subscriber::fmt::format::{JsonFields, format};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Log {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    impl Log {
        fn lines(&self) -> Vec<String> {
            let bytes = std::mem::take(&mut *self.0.lock().unwrap());
            String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
        }
    }

    fn json(log: &Log) -> impl Subscriber + Send + Sync + use<> {
        let format = Careful::new(format().json().flatten_event(true), true, true);
        let layer = tracing_subscriber::fmt::layer().event_format(format).fmt_fields(JsonFields::new());
        tracing_subscriber::registry().with(layer.with_writer(log.clone()))
    }

    fn fails(range: &str, error: &str) {
        tracing::warn!(range, error, pause_ms = 100, "the feed was not read; trying again");
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_trouble_is_told_once_a_minute_with_how_often_it_came() {
        let log = Log::default();
        let _subscribed = tracing::subscriber::set_default(json(&log));
        for second in 0..150 {
            fails("-20", &format!("no answer to request {second} of 0a1b2c-{second:x}"));
            fails("20-FF", "no answer");
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        let lines: Vec<serde_json::Value> =
            log.lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told = |range: &str| -> Vec<Option<u64>> {
            lines.iter().filter(|line| line["range"] == range).map(|line| line["repeated"].as_u64()).collect()
        };
        assert_eq!((told("-20"), told("20-FF")), (vec![None, Some(59), Some(59)], vec![None, Some(59), Some(59)]));
        fails("-20", "the credential was refused");
        assert_eq!(log.lines().len(), 1, "another error is another trouble");
        for _ in 0..3 {
            tracing::info!(range = "-20", "following");
        }
        assert_eq!(log.lines().len(), 3, "only trouble is held back");
    }

    #[test]
    fn documents_are_not_named_and_lines_stay_json() {
        let log = Log::default();
        let _subscribed = tracing::subscriber::set_default(json(&log));
        tracing::warn!(error = "storing blob \"shop/orders/documents/anna~40example.com/4711.json\": 503", "not taken");
        let lines = log.lines();
        assert!(lines.len() == 1 && !lines[0].contains("anna") && !lines[0].contains("4711"), "{lines:?}");
        let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
        assert!(line["error"].as_str().unwrap().ends_with("\": 503") && line["message"] == "not taken");
    }

    #[test]
    fn text_is_counted_at_its_end() {
        let careful = Careful::new((), false, false);
        let mut line = "WARN cosmirror: not taken error=\"503\"\n".to_owned();
        careful.count(&mut line, 7);
        assert_eq!(line, "WARN cosmirror: not taken error=\"503\" repeated=7\n");
    }
}
