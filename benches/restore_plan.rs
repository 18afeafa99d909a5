//! Planning a restore over a long history: time, rate and memory of the real process, beside the floor that the store sets.
//!
//! The emulator holds the source and the mirror, and the daemon mirrors every version; both are processes of their own, as is
//! `cosmirror restore plan`, of which the wall time, the processor time and the peak memory (`VmHWM`) are taken. The floor, in the same run:
//! a bare client asks for the same listing, page by page, and looks at nothing. Figures are ratios where they can be: times alone
//! say more about the machine.
//!
//! `cargo bench --bench restore_plan -- [--documents N] [--versions N] [--memory-max-mib N]`: N documents (100,000) of N versions each (10). Ends
//! with 1 where the plan took more memory than `--memory-max-mib` (256) or did not come out as it must.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

#[path = "../tests/suite/end_to_end/wire.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "what the tests sign besides")]
mod wire;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Pause between two looks at the memory of the process; the peak that the system keeps only grows, so the last look counts.
const LOOK: Duration = Duration::from_millis(5);
const PAGE_ITEMS: &str = "5000";
const DOCUMENT_BYTES: u64 = 400;
const KEYS: u64 = 500;

struct Arguments {
    documents: u64,
    versions: u64,
    memory_max_mib: u64,
}

/// What a process took.
struct Measured {
    seconds: f64,
    peak_kib: u64,
    out: String,
}

/// The emulator; ends with its owner.
struct Emulator {
    process: Child,
    cosmos: String,
    blob: String,
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn main() -> ExitCode {
    let done = arguments().and_then(|arguments| measure(&arguments));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the benchmark could not be run: {error}");
            ExitCode::from(2)
        }
    }
}

fn arguments() -> Outcome<Arguments> {
    let mut arguments = Arguments { documents: 100_000, versions: 10, memory_max_mib: 256 };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word}: a number is missing"))?.parse()?;
        match word.as_str() {
            "--documents" => arguments.documents = value,
            "--versions" => arguments.versions = value,
            "--memory-max-mib" => arguments.memory_max_mib = value,
            _ => return Err(format!("{word} is not known: --documents, --versions, --memory-max-mib").into()),
        }
    }
    Ok(arguments)
}

fn measure(arguments: &Arguments) -> Outcome<bool> {
    let runtime = tokio::runtime::Runtime::new()?;
    let http = reqwest::Client::builder().no_proxy().build()?;
    let emulator = start_emulator()?;
    let folder = tempfile::tempdir()?;
    configure(&emulator, folder.path())?;
    for version in 0..arguments.versions {
        let seed = json!({
            "database": "shop", "container": "orders", "partitionKey": "/pk", "count": arguments.documents,
            "bytes": DOCUMENT_BYTES + version, "keys": KEYS, "partitions": 4,
        });
        let url = format!("http://{}/_emulator/seed", emulator.cosmos);
        let answer = runtime.block_on(async { http.post(url).body(seed.to_string()).send().await?.error_for_status() });
        answer.map_err(|error| format!("seeding: {error}"))?;
        run(folder.path(), &["run", "--once"])?;
    }
    let (floor_seconds, listed_bytes) = runtime.block_on(floor(&http, &emulator))?;
    let at = restorable_until(folder.path())?;
    let plan = run(folder.path(), &["-o", "json", "restore", "plan", "--all", "--at", &at, "-f", "all.plan"])?;
    let counts: Value = serde_json::from_str(&plan.out)?;
    let unchanged = counts["plan"]["unchanged"].as_u64();
    report(arguments, &plan, floor_seconds, listed_bytes);
    if unchanged != Some(arguments.documents) {
        println!("the plan is wrong: {counts}");
        return Ok(false);
    }
    Ok(plan.peak_kib <= arguments.memory_max_mib * 1024)
}

fn report(arguments: &Arguments, plan: &Measured, floor_seconds: f64, listed_bytes: u64) {
    let versions = arguments.documents * arguments.versions;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let rate = |seconds: f64| versions as f64 / seconds;
    println!("| restore plan over {versions} versions of {} documents | |", arguments.documents);
    println!("|---|---|");
    println!("| time | {:.1} s |", plan.seconds);
    println!("| versions a second | {:.0} |", rate(plan.seconds));
    println!("| peak memory | {} MiB (at most {}) |", plan.peak_kib / 1024, arguments.memory_max_mib);
    println!("| the same listing by a bare client | {floor_seconds:.1} s, {} MiB |", listed_bytes >> 20);
    println!("| versions a second of the bare client | {:.0} |", rate(floor_seconds));
    println!("| time of the plan ÷ time of the bare listing | {:.2} |", plan.seconds / floor_seconds);
    let figures = json!({
        "versions": versions, "documents": arguments.documents, "seconds": plan.seconds, "peak_kib": plan.peak_kib,
        "floor_seconds": floor_seconds,
    });
    println!("{figures}");
}

fn start_emulator() -> Outcome<Emulator> {
    let mut process = Command::new(env!("CARGO_BIN_EXE_cosmirror"))
        .args(["emulator", "--cosmos", "127.0.0.1:0", "--blob", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let output = process.stdout.take().ok_or("no output")?;
    let mut emulator = Emulator { process, cosmos: String::new(), blob: String::new() };
    for line in BufReader::new(output).lines() {
        let line = line?;
        let address = |service, known: &mut String| {
            let url = line.strip_prefix(service)?.trim().strip_prefix("http://")?;
            url.split('/').next().map(|host| host.clone_into(known))
        };
        address("cosmos", &mut emulator.cosmos);
        address("blob", &mut emulator.blob);
        if !emulator.cosmos.is_empty() && !emulator.blob.is_empty() {
            return Ok(emulator);
        }
    }
    Err("the emulator did not start".into())
}

fn configure(emulator: &Emulator, folder: &Path) -> std::io::Result<()> {
    let (cosmos, blob) = (&emulator.cosmos, &emulator.blob);
    let text = format!(
        "[source]\nendpoint = \"http://{cosmos}/\"\nauth = \"emulator\"\nstaleness_margin = \"0s\"\npoll_interval = \"10ms\"\n\n\
         [[containers]]\ndatabase = \"shop\"\ncontainer = \"orders\"\n\n[leases]\ndatabase = \"shop\"\n\n\
         [target]\nendpoint = \"http://{blob}/{}\"\nauth = \"emulator\"\n\n[admin]\nlisten = \"127.0.0.1:0\"\n",
        cosmirror_emulator::BLOB_ACCOUNT
    );
    std::fs::write(folder.join("cosmirror.toml"), text)
}

/// Runs a command that must succeed.
fn run(folder: &Path, arguments: &[&str]) -> Outcome<Measured> {
    let log = std::fs::File::create(folder.join("log"))?;
    let begun = Instant::now();
    let mut process = Command::new(env!("CARGO_BIN_EXE_cosmirror"))
        .args(["-c", "cosmirror.toml"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()?;
    let status = format!("/proc/{}/status", process.id());
    let mut peak_kib = 0;
    let ended = loop {
        if let Some(ended) = process.try_wait()? {
            break ended;
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak_kib = peak.unwrap_or(peak_kib);
        std::thread::sleep(LOOK);
    };
    let seconds = begun.elapsed().as_secs_f64();
    if !ended.success() {
        let log = std::fs::read_to_string(folder.join("log"))?;
        return Err(format!("{arguments:?} ended with {ended}: {log}").into());
    }
    let out = std::io::read_to_string(process.stdout.take().ok_or("no output")?)?;
    Ok(Measured { seconds, peak_kib, out })
}

fn restorable_until(folder: &Path) -> Outcome<String> {
    let status: Value = serde_json::from_str(&run(folder, &["-o", "json", "status"])?.out)?;
    let until = status["containers"][0]["restorable_until"].as_str();
    Ok(until.ok_or("nothing can be restored yet")?.to_owned())
}

/// Seconds that the listing takes a client that looks at nothing but the next page's marker, and its bytes.
async fn floor(http: &reqwest::Client, emulator: &Emulator) -> Outcome<(f64, u64)> {
    let path = format!("/{}/mirror", cosmirror_emulator::BLOB_ACCOUNT);
    let (begun, mut bytes, mut marker) = (Instant::now(), 0, String::new());
    loop {
        let mut query = vec![
            ("comp", "list"),
            ("include", "versions,metadata"),
            ("maxresults", PAGE_ITEMS),
            ("prefix", "shop/orders/documents/"),
            ("restype", "container"),
        ];
        if !marker.is_empty() {
            query.push(("marker", &marker));
        }
        let sent: Vec<String> = query.iter().map(|(name, value)| format!("{name}={}", wire::percent(value))).collect();
        let request = http.get(format!("http://{}{path}?{}", emulator.blob, sent.join("&")));
        let request = request.header("x-ms-date", wire::DATE).header("x-ms-version", wire::BLOB_VERSION);
        let request = request.header("authorization", wire::sign_blob(&path, &query));
        let page = request.send().await?.error_for_status()?.text().await?;
        bytes += page.len() as u64;
        let next = page.rfind("<NextMarker>").map(|at| &page[at + "<NextMarker>".len()..]);
        marker = next.and_then(|rest| rest.split('<').next()).unwrap_or_default().to_owned();
        if marker.is_empty() {
            return Ok((begun.elapsed().as_secs_f64(), bytes));
        }
    }
}
