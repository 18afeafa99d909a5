//! Where settings come from, which source wins, and what is said about a wrong one.

use std::path::Path;
use std::time::Duration;

use cosmirror::config::{
    Config, ConfigError, Container, FeedMode, Loaded, MirrorUrl, Origin, Override, SourceAuth, Start, TargetAuth,
    load_from, load_mirror_from, settings,
};

/// Some public key of age.
const PUBLIC: &str = "age1jcc995acs5rxssy9q8wyjwddm3cvurwrtsuzqndwjaf7trylmqcsa6x2hf";

/// Loads a configuration from the text of a file, variables and `--set` flags.
fn load(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cosmirror.toml");
    std::fs::write(&path, file).unwrap();
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment: Vec<_> = environment.iter().map(owned).collect();
    let flags: Vec<_> =
        flags.iter().map(owned).map(|(key, value)| Override { key, value, flag: "--set".to_owned() }).collect();
    load_from(Some(&path), &environment, &flags)
}

fn faults(file: &str, environment: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    load(file, environment, flags).unwrap_err().to_string()
}

fn orders() -> Container {
    Container {
        database: "shop".to_owned(),
        container: "orders".to_owned(),
        feed: FeedMode::AllVersionsAndDeletes,
        start: Start::Beginning,
        versions_per_minute_max: 0,
    }
}

#[test]
fn the_commented_configuration_is_the_default_one() {
    let text = include_str!("../../config/cosmirror.toml");
    let loaded = load(text, &[], &[]).unwrap();
    assert_eq!(loaded.config, Config { containers: vec![orders()], ..Config::default() });
    for (name, value) in settings(&loaded.config) {
        let last = name.rsplit('.').next().unwrap();
        if value.is_null() {
            assert!(text.contains(&format!("\n# {last} = ")), "{name} is not shown");
        } else {
            assert!(matches!(loaded.origins[&name], Origin::File(_)), "{name} is not set");
        }
    }
    for line in text.lines().filter(|line| line.contains(" = ") && !line.starts_with("# ")) {
        assert!(line.contains(" # "), "no comment: {line}");
    }
}

#[test]
fn the_configuration_for_the_emulator_is_valid() {
    let loaded = load(include_str!("../../config/local.toml"), &[], &[]).unwrap();
    assert_eq!(loaded.config.source.staleness_margin, Duration::ZERO);
    assert_eq!(loaded.config.containers, [orders()]);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let file = "[admin]\nlisten = \"127.0.0.1:1\"\n[target]\nprefix = \"file\"\ncontainer = \"file\"\n[source]\nauth = \"key\"";
    let environment = [
        ("COSMIRROR__ADMIN__LISTEN", "127.0.0.1:2"),
        ("COSMIRROR__TARGET__PREFIX", "environment"),
        ("COSMIRROR__TARGET__CREATE", "false"),
        ("COSMIRROR__SOURCE__REQUEST_UNITS_PER_SECOND_MAX", "400"),
        ("COSMIRROR__SOURCE__STALENESS_MARGIN", "0"),
        ("COSMIRROR_SOURCE_KEY", "is no setting"),
        ("PATH", "is no setting either"),
    ];
    let loaded = load(file, &environment, &[("admin.listen", "127.0.0.1:3"), ("source.poll_interval", "2s")]).unwrap();
    let Config { source, target, admin, .. } = &loaded.config;
    assert_eq!(
        (admin.listen.as_str(), target.prefix.as_str(), target.container.as_str()),
        ("127.0.0.1:3", "environment", "file")
    );
    assert_eq!((target.create, source.request_units_per_second_max, source.auth), (false, 400, SourceAuth::Key));
    assert_eq!((source.poll_interval, source.staleness_margin), (Duration::from_secs(2), Duration::ZERO));
    let origin = |name: &str| loaded.origins[name].clone();
    assert_eq!(origin("admin.listen"), Origin::Flag("--set".to_owned()));
    assert_eq!(origin("target.prefix"), Origin::Environment("COSMIRROR__TARGET__PREFIX".to_owned()));
    assert!(matches!(origin("target.container"), Origin::File(path) if path.ends_with("cosmirror.toml")));
    assert_eq!(origin("leases.create"), Origin::Default);
}

#[test]
fn lists_are_set_by_index_from_the_environment() {
    let file = "[[containers]]\ndatabase = \"shop\"\ncontainer = \"users\"";
    let environment = [
        ("COSMIRROR__CONTAINERS__0__CONTAINER", "orders"),
        ("COSMIRROR__CONTAINERS__1__DATABASE", "shop"),
        ("COSMIRROR__CONTAINERS__1__CONTAINER", "carts"),
        ("COSMIRROR__CONTAINERS__1__FEED", "latest-version"),
        ("COSMIRROR__CONTAINERS__1__START", "2026-01-31T08:00:00Z"),
    ];
    let containers = load(file, &environment, &[]).unwrap().config.containers;
    let carts = Container {
        container: "carts".to_owned(),
        feed: FeedMode::LatestVersion,
        start: Start::Instant("2026-01-31T08:00:00Z".parse().unwrap()),
        ..orders()
    };
    assert_eq!(containers, [orders(), carts]);
}

#[test]
fn the_environment_names_the_file_and_the_flag_wins() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("[leases]\nprocessor = \"{name}\"")).unwrap();
        path
    };
    let (one, other) = (file("one"), file("other"));
    let environment = [("COSMIRROR_CONFIG".to_owned(), one.display().to_string())];
    let processor = |path: Option<&Path>| load_from(path, &environment, &[]).unwrap().config.leases.processor;
    assert_eq!((processor(None).as_str(), processor(Some(&other)).as_str()), ("one", "other"));
}

#[test]
fn unknown_settings_are_refused_with_their_place_and_what_was_meant() {
    let file = r#"
        colour = "green"
        listen = "127.0.0.1:1"
        [source]
        endpiont = "http://127.0.0.1:8081/"
        [[containers]]
        database = "shop"
        container = "orders"
        strat = "now"
        [[targets]]
        name = "south"
        required = true
        path = "/mirror"
        kind = "directory"
        optional = true
        [tracing]
        on = true
    "#;
    let expected = "\
        admin.lisen: unknown setting; did you mean admin.listen? (from the environment variable COSMIRROR__ADMIN__LISEN)\n\
        colour: unknown setting\n\
        containers[0].strat: unknown setting; did you mean containers[0].start?\n\
        listen: unknown setting; did you mean admin.listen?\n\
        source.endpiont: unknown setting; did you mean source.endpoint?\n\
        targets[0].optional: unknown setting\n\
        tracing: unknown setting";
    assert_eq!(faults(file, &[("COSMIRROR__ADMIN__LISEN", "x")], &[]), expected);
}

#[test]
fn further_targets_have_every_setting_of_the_first_and_faults_of_their_own() {
    let file = r#"
        [[targets]]
        name = "south"
        required = true
        container = "copy"
        [[targets]]
        name = "vault"
        required = false
        kind = "directory"
        path = "/var/lib/vault"
    "#;
    let loaded = load(file, &[("COSMIRROR__TARGETS__1__PREFIX", "kept")], &[]).unwrap();
    let named = |required| -> Vec<String> {
        let targets = loaded.config.targets.iter().filter(|target| target.required == required);
        targets.map(|target| format!("{} {}", target.name, target.target.prefix)).collect()
    };
    assert_eq!((named(true), named(false)), (vec!["south ".to_owned()], vec!["vault kept".to_owned()]));
    assert_eq!(loaded.config.targets[0].target.container, "copy");
    let wrong = r#"
        [[targets]]
        name = "South"
        required = "no"
        auth = "shared-key"
        endpoint = "https://127.0.0.1/"
        container = "Copy"
        [[targets]]
        name = "first"
        [[targets]]
        required = true
        kind = "directory"
        history = "snapshots"
    "#;
    let expected = "\
        targets[0].container: must have 3 to 63 lower-case letters, digits and single hyphens between them\n\
        targets[0].endpoint: does not tell the account's name: set targets[0].account\n\
        targets[0].name: must have 1 to 40 lower-case letters, digits and hyphens\n\
        targets[0].required: must be true or false, without quotes\n\
        targets[1]: is the same place as the target \"first\"\n\
        targets[1].name: \"first\" is the name of another target\n\
        targets[1].required: missing\n\
        targets[2].history: \"snapshots\" is for kind = \"azure\"; a directory keeps versions by itself\n\
        targets[2].name: missing\n\
        targets[2].path: missing: kind = \"directory\" needs the directory's path";
    assert_eq!(faults(wrong, &[], &[]), expected);
}

#[test]
fn every_fault_of_a_run_is_told_at_once() {
    let file = r#"
        [source]
        poll_interval = "5"
        poll_interval_idle_max = 5
        request_units_per_second_max = -1
        auth = "password"
        [[containers]]
        database = "shop"
        container = "orders"
        start = "2026-01-31T08:00:00Z"
        [[containers]]
        database = "shop"
        container = "orders"
        start = "yesterday"
        [[containers]]
        container = "leases"
        [leases]
        renew_interval = "100ms"
        expiration = "60"
        create = "yes"
        [target]
        container = "Mirror"
        prefix = "a//b"
        create = 1
        [admin]
        listen = "9464"
    "#;
    let expected = r#"
admin.listen: "9464" is not an address and port such as "127.0.0.1:9464"
containers[0].start: an instant needs feed = "latest-version"; with all versions and deletes use "beginning" or "now"
containers[1]: shop/orders is already containers[0]
containers[1].start: "yesterday" is neither "beginning" nor "now" nor an RFC 3339 instant such as "2026-01-31T08:00:00Z"
containers[2].database: missing
leases.create: must be true or false, without quotes
leases.expiration: "60" is not a duration such as "250ms", "5s", "1h30m" or "0s"
leases.renew_interval: must be at least 1s
source.auth: must be one of "emulator", "key", "managed-identity", "workload-identity", "developer"
source.poll_interval: "5" is not a duration such as "250ms", "5s", "1h30m" or "0s"
source.poll_interval_idle_max: 5 lacks a unit: write "5s" or "5ms"
source.request_units_per_second_max: must be a whole number from 0 to 4294967295
target.container: must have 3 to 63 lower-case letters, digits and single hyphens between them
target.create: must be true or false, without quotes
target.prefix: must be names of letters, digits, - _ and . with single slashes between, none ending with a dot"#;
    assert_eq!(faults(file, &[], &[]), expected.trim_start());
}

#[test]
fn limits_that_would_stop_everything_or_mean_nothing_are_told_with_their_reason() {
    let of = |bytes: &str, requests: &str| {
        faults("", &[], &[("limits.bytes_in_flight_max", bytes), ("limits.requests_in_flight_max", requests)])
    };
    let least = "limits.bytes_in_flight_max: must be at least 16MiB: a page of the service has up to 4MiB, and twice that while it is read";
    assert_eq!(of("15MiB", "1"), least);
    assert_eq!(of("16MiB", "0"), "limits.requests_in_flight_max: must be between 1 and 4096");
    for nonsense in ["64", "64MB", "much", "-1MiB"] {
        let found = of(nonsense, "64");
        assert!(found.starts_with("limits.bytes_in_flight_max: ") && found.contains("MiB"), "{found}");
    }
}

#[test]
fn a_rehearsal_needs_a_scratch_container_that_is_nobodys() {
    let containers = "[[containers]]\ndatabase = \"shop\"\ncontainer = \"orders\"\n[[containers]]\ndatabase = \"crm\"\ncontainer = \"orders\"\n";
    let of = |into: &str| faults(&format!("{containers}[rehearsal]\ninterval = \"1d\"\ninto = \"{into}\""), &[], &[]);
    assert!(load(&format!("{containers}[rehearsal]\ninterval = \"0s\"\ninto = \"\""), &[], &[]).is_ok(), "it is off");
    let by_jobs = faults(&format!("{containers}[rehearsal]\ninto = \"shop/orders\""), &[], &[]);
    assert!(by_jobs.contains("rehearsal.into: shop/orders is followed"), "{by_jobs}");
    let right = "interval = \"1d\"\ninto = \"rehearsals/{database}-{container}\"\nsample = \"0.5%\"\nclean = false";
    let loaded = load(&format!("{containers}[rehearsal]\n{right}"), &[], &[]).unwrap();
    assert_eq!(loaded.config.rehearsal.sample, 5_000);
    assert_eq!(loaded.config.rehearsal.scratch("crm", "orders"), ("rehearsals".to_owned(), "crm-orders".to_owned()));
    assert_eq!(of(""), "rehearsal.into: missing: name a scratch container");
    assert!(of("orders").contains("DATABASE/CONTAINER") && of("a/b/c").contains("DATABASE/CONTAINER"));
    assert!(of("shop/orders").contains("is followed") && of("{database}/leases").contains("holds the leases"));
    assert!(of("rehearsals/{container}").contains("of several containers"));
    let soon = faults("[rehearsal]\ninterval = \"59s\"\ninto = \"a/b\"\nsample = \"200%\"", &[], &[]);
    assert!(soon.contains("rehearsal.interval: must be at least 60s"), "{soon}");
    assert!(soon.contains("rehearsal.sample: \"200%\" is neither"), "{soon}");
    let encrypted = format!("[target]\nrecipients = [\"{PUBLIC}\"]\n[rehearsal]\ninterval = \"1d\"\ninto = \"a/b\"");
    assert!(faults(&encrypted, &[], &[]).contains("--identity"));
}

#[test]
fn a_mirror_takes_the_place_of_the_file_and_says_itself_what_it_holds() {
    let variables = |variables: &[(&str, &str)]| -> Vec<(String, String)> {
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let environment = variables(&[
        ("COSMIRROR_CONFIG", "/nowhere.toml"),
        ("COSMIRROR__TARGET__ENDPOINT", "https://other.blob.core.windows.net"),
        ("COSMIRROR__TARGET__AUTH", "sas"),
        ("COSMIRROR__CONTAINERS__0__DATABASE", "shop"),
        ("COSMIRROR__TARGETS__0__NAME", "south"),
        ("COSMIRROR__SOURCE__AUTH", "developer"),
        ("COSMIRROR__SOURCE__ENDPOINT", "https://new.documents.azure.com/"),
    ]);
    let mirror = MirrorUrl::parse("https://store.blob.core.windows.net/mirror/deep").unwrap();
    let loaded = load_mirror_from(&mirror, &environment, &[]).unwrap();
    let Config { source, target, containers, targets, .. } = &loaded.config;
    assert_eq!(target.endpoint, "https://store.blob.core.windows.net");
    assert_eq!((target.container.as_str(), target.prefix.as_str(), target.auth), ("mirror", "deep", TargetAuth::Sas));
    assert_eq!(source.endpoint, "https://new.documents.azure.com/");
    assert!(containers.is_empty() && targets.is_empty());
    assert_eq!(loaded.origins["target.endpoint"].to_string(), "flag --mirror");
    assert_eq!(loaded.origins["target.auth"].to_string(), "environment variable COSMIRROR__TARGET__AUTH");
    let set = Override { key: "target.prefix".to_owned(), value: "other".to_owned(), flag: "--set".to_owned() };
    assert_eq!(load_mirror_from(&mirror, &[], &[set]).unwrap().config.target.prefix, "other");
    assert_eq!(load_mirror_from(&mirror, &[], &[]).unwrap().config.target.auth, TargetAuth::Developer);
}

#[test]
fn what_is_to_ride_with_every_put_is_refused_where_the_target_cannot_have_it() {
    let of = |file: &str| faults(&format!("[target]\n{file}"), &[], &[]);
    let right = "immutable_for = \"30d\"\nimmutability_mode = \"locked\"\nencryption_scope = \"shop-1\"\ntags = true";
    assert!(load(&format!("[target]\n{right}"), &[], &[]).is_ok());
    assert_eq!(of("immutable_for = \"23h\""), "target.immutable_for: must be at least 1d");
    assert_eq!(of("immutable_for = \"30\"").lines().count(), 1);
    assert_eq!(of("immutability_mode = \"locked\""), "target.immutability_mode: \"locked\" needs immutable_for");
    for scope in ["ab", "a--b", "-ab", "Shop", "a b", "a\\nb"] {
        assert!(
            of(&format!("encryption_scope = \"{scope}\"")).starts_with("target.encryption_scope: must have 3 to 63")
        );
    }
    let all = "immutable_for = \"1d\"\nlegal_hold = true\nencryption_scope = \"shop\"\ntags = true";
    let snapshots = of(&format!("history = \"snapshots\"\n{all}"));
    let named: Vec<&str> = snapshots.lines().map(|line| line.split(": needs history").next().unwrap()).collect();
    assert_eq!(named, ["target.immutable_for", "target.legal_hold", "target.tags"], "{snapshots}");
    let directory = of(&format!("kind = \"directory\"\npath = \"x\"\n{all}"));
    assert_eq!(directory.matches("is for kind = \"azure\"").count(), 4, "{directory}");
}

#[test]
fn variables_and_flags_that_cannot_be_settings_are_told_too() {
    let environment = [
        ("COSMIRROR__CONTAINERS__4000000000__DATABASE", "x"),
        ("COSMIRROR__SOURCE____AUTH", "x"),
        ("COSMIRROR__CONTAINERS__DATABASE", "x"),
        ("COSMIRROR__TARGET__CREATE", "maybe"),
    ];
    let found = faults("source = 5", &environment, &[("containers[x].database", "y")]);
    let expected = "\
        --set: \"containers[x].database\" is not the name of a setting; one looks like containers[0].database\n\
        COSMIRROR__CONTAINERS__4000000000__DATABASE: a list has at most 1000 entries, counted from 0\n\
        COSMIRROR__SOURCE____AUTH: not the name of a setting; one looks like COSMIRROR__CONTAINERS__0__DATABASE\n\
        containers: must be a list, [[containers]]; in the environment COSMIRROR__CONTAINERS__0__… \
        (from the environment variable COSMIRROR__CONTAINERS__DATABASE)\n\
        source: must be a section, [source]\n\
        target.create: must be true or false (from the environment variable COSMIRROR__TARGET__CREATE)";
    assert_eq!(found, expected);
}

#[test]
fn the_keys_that_content_is_encrypted_to_are_a_list_in_a_file_or_by_index() {
    let [one, two] = ["age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", PUBLIC];
    let file = format!("[target]\nrecipients = [{one:?}]\n");
    assert_eq!(load(&file, &[], &[]).unwrap().config.target.recipients, [one]);
    let variables = [("COSMIRROR__TARGET__RECIPIENTS__0", two), ("COSMIRROR__TARGET__RECIPIENTS__1", one)];
    let loaded = load("", &variables, &[]).unwrap();
    assert_eq!(loaded.config.target.recipients, [two, one]);
    assert_eq!(loaded.origins["target.recipients[1]"], Origin::Environment(variables[1].0.to_owned()));
    assert_eq!(load(&file, &variables[..1], &[]).unwrap().config.target.recipients, [two]);
    let flags = [("target.recipients[0]", one)];
    assert_eq!(load("", &variables[..1], &flags).unwrap().config.target.recipients, [one]);
}

#[test]
fn a_key_that_is_none_is_told_by_its_place_and_never_repeated() {
    let secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ";
    let file = format!("[target]\nrecipients = [{PUBLIC:?}, {secret:?}, {PUBLIC:?}, \"age1short\", 5]\n");
    let found = faults(&file, &[], &[]);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines.len(), 4, "{found}");
    assert!(lines[0].starts_with("target.recipients[1]: is an identity, which is secret"), "{found}");
    assert_eq!(lines[1], "target.recipients[2]: is already target.recipients[0]");
    assert!(lines[2].starts_with("target.recipients[3]: is not a public key of age"), "{found}");
    assert!(lines[3].starts_with("target.recipients[4]: "), "{found}");
    assert!(!found.contains("QQQ"), "{found}");
    let found = faults("", &[("COSMIRROR__TARGET__RECIPIENTS", PUBLIC)], &[]);
    assert!(found.contains("must be a list, [\"…\"]; in the environment COSMIRROR__TARGET__RECIPIENTS__0 "), "{found}");
}

#[test]
fn a_file_that_is_no_toml_is_told_with_the_place() {
    let found = faults("[source]\nendpoint = \n", &[], &[]);
    assert!(found.contains("cosmirror.toml: TOML parse error at line 2, column 12"), "{found}");
    assert_eq!(found.lines().count(), 1, "{found}");
    let missing = load_from(Some(Path::new("/nowhere/cosmirror.toml")), &[], &[]).unwrap_err().to_string();
    assert!(missing.starts_with("/nowhere/cosmirror.toml: cannot read the configuration file: "), "{missing}");
}

#[test]
fn endpoints_are_encrypted_unless_they_are_this_machine_with_a_key() {
    let source = |endpoint: &str, auth: &str| load("", &[], &[("source.endpoint", endpoint), ("source.auth", auth)]);
    let target = |endpoint: &str, auth: &str| load("", &[], &[("target.endpoint", endpoint), ("target.auth", auth)]);
    for endpoint in ["http://127.0.0.1:8081", "http://localhost:8081/", "http://[::1]:8081/", "https://localhost:8081/"]
    {
        assert!(source(endpoint, "emulator").is_ok() && source(endpoint, "key").is_ok(), "{endpoint}");
    }
    for (endpoint, auth) in [
        ("http://10.0.0.1:8081/", "emulator"),
        ("https://account.documents.azure.com/", "emulator"),
        ("http://account.documents.azure.com/", "key"),
        ("http://127.0.0.1:8081/", "managed-identity"),
        ("https://account.documents.azure.com/dbs", "key"),
        ("https://user:word@account.documents.azure.com/", "key"),
        ("ftp://account.documents.azure.com/", "key"),
        ("account.documents.azure.com", "key"),
    ] {
        let error = source(endpoint, auth).unwrap_err().to_string();
        assert!(error.starts_with("source.endpoint: ") && !error.contains("user:word"), "{endpoint} {auth}: {error}");
    }
    assert!(source("https://account.documents.azure.com:443/", "workload-identity").is_ok());
    assert!(target("https://account.blob.core.windows.net/", "shared-key").is_ok());
    assert!(target("http://127.0.0.1:10000/devstoreaccount1", "shared-key").is_ok());
    for (endpoint, auth) in [
        ("http://account.blob.core.windows.net/", "shared-key"),
        ("http://127.0.0.1:10000/", "shared-key"),
        ("https://account.blob.core.windows.net/?sv=1&sig=secret", "sas"),
    ] {
        let error = target(endpoint, auth).unwrap_err().to_string();
        assert!(error.starts_with("target.endpoint: ") && !error.contains("sig="), "{endpoint} {auth}: {error}");
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_repeated() {
    let key = "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM==";
    for name in ["source.key_env", "source.auth", "target.sas_env", "target.account", "source.key", "target.container"]
    {
        let error = faults("", &[], &[(name, key)]);
        assert!(error.starts_with(name) && !error.contains("C2y6"), "{error}");
    }
}

#[test]
fn a_processor_may_be_without_a_name_as_an_azure_function_without_a_prefix_is() {
    assert_eq!(load("[leases]\nprocessor = \"\"", &[], &[]).unwrap().config.leases.processor, "");
    let refused = faults("[leases]\nprocessor = \"a/b\"", &[], &[]);
    assert!(refused.contains("leases.processor: must not contain"), "{refused}");
}

#[test]
fn leases_expire_no_sooner_than_two_renewals_and_live_apart_from_what_is_followed() {
    let file = "[[containers]]\ndatabase = \"shop\"\ncontainer = \"leases\"\n[leases]\nrenew_interval = \"17s\"\nexpiration = \"33s\"";
    let expected = "\
        leases.container: is followed as containers[0]; leases need a container of their own\n\
        leases.expiration: must be at least twice leases.renew_interval, 34s";
    assert_eq!(faults(file, &[], &[]), expected);
}

#[test]
fn a_directory_needs_its_path_and_nothing_of_azure() {
    let kind = ("target.kind", "directory");
    assert_eq!(faults("", &[], &[kind]), "target.path: missing: kind = \"directory\" needs the directory's path");
    let flags = [kind, ("target.path", "/var/lib/mirror"), ("target.container", "Any Name")];
    assert!(load("", &[], &flags).is_ok());
}

#[test]
fn no_container_is_no_fault_of_the_configuration() {
    assert!(load("", &[], &[]).unwrap().config.containers.is_empty());
}
