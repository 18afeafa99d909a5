//! The real binary: exit codes, and one clear line about what went wrong.

use std::net::TcpListener;
use std::process::{Command, Output};

use cosmirror::admin::{Access, Admin, serve};
use tokio_util::sync::CancellationToken;

/// The binary with nothing of this process's environment.
fn cosmirror(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(crate::program());
    command.args(arguments).env_clear().envs(environment.iter().copied()).output().unwrap()
}

fn code_and_error(output: &Output) -> (i32, String) {
    (output.status.code().unwrap(), String::from_utf8(output.stderr.clone()).unwrap())
}

const ORDERS: [(&str, &str); 2] =
    [("COSMIRROR__CONTAINERS__0__DATABASE", "shop"), ("COSMIRROR__CONTAINERS__0__CONTAINER", "orders")];

#[test]
fn a_bad_configuration_ends_with_2_and_one_line_for_each_fault() {
    let environment = [("COSMIRROR__ADMIN__LISTEN", "9464"), ("COSMIRROR__LEASES__EXPIRATION", "1s")];
    let output = cosmirror(&["config", "show"], &environment);
    let expected = "\
        error: admin.listen: \"9464\" is not an address and port such as \"127.0.0.1:9464\"\n\
        error: leases.expiration: must be at least twice leases.renew_interval, 34s; remedy: correct the configuration\n";
    assert_eq!(code_and_error(&output), (2, expected.to_owned()));
    assert!(output.stdout.is_empty());
}

#[test]
fn an_unknown_setting_ends_with_2_in_every_form() {
    let output = cosmirror(&["-o", "json", "--set", "source.endpiont=x", "config", "show"], &[]);
    let (code, error) = code_and_error(&output);
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!((code, &error["error"]["exit"], &error["error"]["code"]), (2, &2.into(), &"usage".into()));
    assert_eq!(error["error"]["message"], "source.endpiont: unknown setting; did you mean source.endpoint?");
    assert_eq!(error["error"]["remedy"], "correct the configuration");
}

#[test]
fn usage_errors_end_with_2_in_every_form() {
    for arguments in
        [&["frobnicate"][..], &[], &["-v", "-q", "config", "show"], &["-o", "json-patch", "config", "show"]]
    {
        assert_eq!(cosmirror(arguments, &[]).status.code(), Some(2), "{arguments:?}");
    }
    let (code, error) = code_and_error(&cosmirror(&["-o", "json", "frobnicate"], &[]));
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!((code, error["error"]["code"].as_str()), (2, Some("usage")));
}

#[test]
fn help_names_only_commands_that_exist() {
    let output = cosmirror(&["--help"], &[]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    for command in commands.lines().filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help") {
        assert!(cosmirror(&[command, "--help"], &[]).status.success(), "{command}");
    }
}

#[test]
fn without_a_container_there_is_nothing_to_run() {
    let (code, error) = code_and_error(&cosmirror(&["run", "--once"], &[]));
    assert_eq!(code, 2);
    assert!(error.starts_with("error: containers: none is configured; remedy: "), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn a_status_of_nothing_of_a_wrong_limit_or_of_an_unknown_container_is_a_usage_error() {
    let (code, error) = code_and_error(&cosmirror(&["status"], &[]));
    assert!(code == 2 && error.starts_with("error: containers: none is configured; remedy: "), "{error}");
    let (code, error) = code_and_error(&cosmirror(&["status", "--max-lag", "soon"], &ORDERS));
    assert!(code == 2 && error.contains("--max-lag") && error.contains("is not a duration"), "{error}");
    let (code, error) = code_and_error(&cosmirror(&["status", "--source", "shop/carts"], &ORDERS));
    assert!(code == 2 && error.contains("choose one of shop/orders"), "{error}");
}

#[test]
fn gaps_and_dead_letters_that_are_not_asked_for_properly_are_usage_errors() {
    for arguments in [&["gaps", "list"][..], &["dead-letters", "list"], &["dead-letters", "replay", "--all"]] {
        let (code, error) = code_and_error(&cosmirror(arguments, &[]));
        assert!(code == 2 && error.starts_with("error: containers: none is configured; remedy: "), "{error}");
    }
    let wrong: [&[&str]; 6] = [
        &["gaps"],
        &["dead-letters", "replay"],
        &["dead-letters", "replay", "--all", "-FF/1.json"],
        &["dead-letters", "show"],
        &["dead-letters", "list", "--source", "shop/carts"],
        &["dead-letters", "replay", "a", "--source", "shop/orders", "--source", "shop/carts"],
    ];
    for arguments in wrong {
        assert_eq!(cosmirror(arguments, &ORDERS).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn a_mirror_without_a_source_tells_its_gaps_and_without_a_mirror_ends_with_10() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().to_str().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}/");
    let settings = [
        ("COSMIRROR__TARGET__KIND", "directory"),
        ("COSMIRROR__TARGET__PATH", target),
        ("COSMIRROR__SOURCE__ENDPOINT", &endpoint),
    ];
    let environment = [ORDERS.as_slice(), &settings].concat();
    for arguments in [&["gaps", "list"][..], &["dead-letters", "list"], &["dead-letters", "show", "a"]] {
        let (code, error) = code_and_error(&cosmirror(arguments, &environment));
        assert!(code == 10 && error.contains("there is no mirror of this container"), "{code} {error}");
    }
    for (name, record) in [
        ("container.json", r#"{"format":1,"account":"a","database":"shop","container":"orders","generations":[]}"#),
        ("gaps/20--FF.json", r#"{"format":1,"range":{"min":"","max":"FF"},"from":20,"until":null,"reason":"away"}"#),
        ("gaps/9--FF.json", r#"{"format":1,"range":{"min":"","max":"FF"},"from":9,"until":10,"reason":"away"}"#),
    ] {
        let place = folder.path().join("shop/orders/_mirror").join(name);
        std::fs::create_dir_all(&place).unwrap();
        let line = format!("{{\"format\":1,\"length\":{},\"metadata\":{{}}}}\n{record}", record.len());
        std::fs::write(place.join("00000000000000000001"), line).unwrap();
    }
    let output = cosmirror(&["gaps", "list"], &environment);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = "\
        CONTAINER    RANGE  FROM                  UNTIL                 REASON\n\
        shop/orders  [,FF)  1970-01-01T00:00:09Z  1970-01-01T00:00:10Z  away\n\
        shop/orders  [,FF)  1970-01-01T00:00:20Z  open                  away\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let output = cosmirror(&["dead-letters", "list"], &environment);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), b"no dead letters\n".as_slice()));
}

#[test]
fn a_status_whose_source_does_not_answer_says_so_at_once() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{closed}/");
    let environment = [ORDERS.as_slice(), &[("COSMIRROR__SOURCE__ENDPOINT", endpoint.as_str())]].concat();
    let output = cosmirror(&["-o", "json", "status", "--max-lag", "1h"], &environment);
    let (code, error) = code_and_error(&output);
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!((code, &error["error"]["code"]), (1, &"failure".into()), "{error}");
    assert!(error["error"]["message"].as_str().unwrap().contains(&endpoint), "{error}");
    assert!(error["error"]["remedy"].as_str().unwrap().contains("reachable") && output.stdout.is_empty(), "{error}");
}

#[test]
fn the_daemon_whose_admin_port_is_taken_ends_with_2_and_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let environment = [ORDERS.as_slice(), &[("COSMIRROR__ADMIN__LISTEN", address.as_str())]].concat();
    let (code, error) = code_and_error(&cosmirror(&["-q", "run", "--once"], &environment));
    let expected = format!(
        "error: admin.listen: the port of {address} is taken by another process; \
         remedy: end that process, or set admin.listen to a free port\n"
    );
    assert_eq!((code, error), (2, expected));
}

#[cfg(feature = "emulator")]
#[test]
fn the_emulator_whose_port_is_taken_ends_with_2_and_the_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = cosmirror(&["emulator", "--cosmos", &address, "--blob", "127.0.0.1:0"], &[]);
    let expected = format!(
        "error: the cosmos port of {address} is taken by another process; \
         remedy: end that process, or choose another address with --cosmos\n"
    );
    assert_eq!(code_and_error(&output), (2, expected));
}

#[test]
fn the_effective_configuration_shows_origins_and_no_secret() {
    let environment = [
        ("COSMIRROR__SOURCE__AUTH", "key"),
        ("COSMIRROR__SOURCE__ENDPOINT", "https://account.documents.azure.com/"),
        ("COSMIRROR_SOURCE_KEY", "dmVyeS1zZWNyZXQ="),
    ];
    let output = cosmirror(&["config", "show", "--set", "target.prefix=backup"], &environment);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "source.auth = \"key\"  # environment variable COSMIRROR__SOURCE__AUTH",
        "source.key = ***  # environment variable COSMIRROR_SOURCE_KEY",
        "source.poll_interval = \"1s\"  # default",
        "target.prefix = \"backup\"  # flag --set",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
    }
    assert!(!text.contains("dmVyeS1zZWNyZXQ="), "{text}");
    let output = cosmirror(&["-o", "json", "config", "show"], &environment);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["secrets"][0]["key"], "source.key");
    assert_eq!(json["secrets"][0]["available"], true);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(crate::program());
    let output = command.args(["config", "show"]).env_clear().stdout(writer).output().unwrap();
    assert_eq!(code_and_error(&output), (0, String::new()));
}

async fn health(url: String) -> Output {
    let mut command = tokio::process::Command::new(crate::program());
    command.args(["health", "--url", &url]).env_clear().output().await.unwrap()
}

#[tokio::test]
async fn health_is_0_when_ready_and_1_with_the_reasons_when_not() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/readyz", listener.local_addr().unwrap());
    let names = [("shop", "orders")];
    let admin = Admin::new(names, Access::closed());
    let stop = CancellationToken::new();
    let asking = async {
        let starting = health(url.clone()).await;
        assert_eq!(code_and_error(&starting), (1, "error: not ready (503): start-up: not complete\n".to_owned()));
        admin.progress.started();
        let ready = health(url.clone()).await;
        assert_eq!((ready.status.code(), ready.stdout.as_slice()), (Some(0), b"ready\n".as_slice()));
        stop.cancel();
    };
    let (served, ()) = tokio::join!(serve(listener, admin.clone(), stop.clone()), asking);
    served.unwrap();
    let (code, error) = code_and_error(&health(url).await);
    assert!(code == 1 && error.starts_with("error: nothing answers at "), "{code} {error}");
}

#[test]
fn bash_can_read_its_completions_and_every_shell_has_some_that_name_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = cosmirror(&["completions", shell], &[]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("dead-letters") && script.contains("check"), "{shell}");
        if shell == "bash" {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("cosmirror");
            std::fs::write(&file, script).unwrap();
            let read = Command::new("bash").arg("-n").arg(&file).output().unwrap();
            assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
        }
    }
    assert_eq!(cosmirror(&["completions", "tcsh"], &[]).status.code(), Some(2));
}

#[test]
fn manual_pages_tell_of_every_command_and_a_broken_configuration_is_in_nobodys_way() {
    let broken = [("COSMIRROR__ADMIN__LISTEN", "9464")];
    let output = cosmirror(&["man"], &broken);
    assert!(output.status.success());
    let page = String::from_utf8(output.stdout).unwrap();
    let help = String::from_utf8(cosmirror(&["--help"], &[]).stdout).unwrap();
    let commands = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("man1");
    assert!(cosmirror(&["man", "--out", out.to_str().unwrap()], &broken).status.success());
    let names: Vec<&str> = commands.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(names.len() > 10 && page.starts_with(".ie"), "{names:?} {page}");
    for name in names.into_iter().filter(|name| *name != "help") {
        assert!(page.contains(&format!("cosmirror\\-{}(1)", name.replace('-', "\\-"))), "{name}: {page}");
        let own = std::fs::read_to_string(out.join(format!("cosmirror-{name}.1"))).unwrap();
        assert!(own.contains(".SH SYNOPSIS") && own.contains("DESCRIPTION"), "{name}: {own}");
    }
    assert!(out.join("cosmirror.1").exists() && out.join("cosmirror-restore-apply.1").exists());
}

#[test]
fn check_without_a_container_is_a_usage_error_and_without_a_secret_ends_with_1() {
    let (code, error) = code_and_error(&cosmirror(&["check", "--offline"], &[]));
    assert!(code == 2 && error.starts_with("error: containers: none is configured; remedy: "), "{error}");
    let (code, error) =
        code_and_error(&cosmirror(&["-o", "json", "check", "--offline"], &[("COSMIRROR__LEASES__EXPIRATION", "1s")]));
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert!(code == 2 && error["error"]["message"].as_str().unwrap().contains("leases.expiration"), "{error}");
    let settings = [
        ("COSMIRROR__SOURCE__AUTH", "key"),
        ("COSMIRROR__TARGET__AUTH", "sas"),
        ("COSMIRROR__ADMIN__JOBS", "true"),
        ("COSMIRROR_ADMIN_TOKEN", "too short"),
    ];
    let output = cosmirror(&["-o", "ndjson", "check", "--offline"], &[ORDERS.as_slice(), &settings].concat());
    assert_eq!(code_and_error(&output), (1, String::new()));
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(!told.contains("too short"), "{told}");
    let checks: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let failed = checks.iter().filter(|check| check["status"] == "fail").map(|check| check["subject"].clone());
    assert_eq!(failed.collect::<Vec<_>>(), ["source", "target", "admin"]);
    assert!(checks.iter().all(|check| check["name"].as_str().unwrap().starts_with("configuration")));
}
