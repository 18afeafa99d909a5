//! What every command gets: the configuration, which part of it is meant, and where data goes.

use super::Output;
use crate::admin::shell_word;
use crate::config::{Config, Container, Loaded, MirrorUrl, Origin, Source};
use crate::export::place::{ExportPlace, Place};
use crate::failure::{CommandError, Exit};
use crate::run::open_export;

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    /// The configuration; the defaults for commands that do not read it.
    pub config: Loaded,
    /// The configuration with all its targets, where one of them was chosen.
    pub targets: Config,
    /// The target that was chosen.
    pub target: Option<String>,
    /// The mirror that stands in place of a configuration: then nobody asks its source or the leases, which may be gone.
    pub mirror: Option<MirrorUrl>,
    /// The account that documents are restored into, where it is not the configured one.
    pub account: Option<Source>,
    /// Where data goes.
    pub output: Output,
}

impl Context {
    /// The same for the mirror in one target alone.
    pub fn on_target(&self, name: &str) -> Result<Self, CommandError> {
        let remedy = "name one of them; [[targets]] of the configuration defines all but the first";
        let config = self.targets.on_target(name);
        let config = config.map_err(|unknown| CommandError::new(Exit::Usage, unknown.to_string(), remedy))?;
        let config = Loaded { config, origins: self.config.origins.clone() };
        Ok(Self {
            config,
            targets: self.targets.clone(),
            target: Some(name.to_owned()),
            mirror: None,
            account: self.account.clone(),
            output: Output::new(self.output.format),
        })
    }

    /// The same, restoring into the account at this endpoint.
    pub fn into_account(&self, endpoint: &str) -> Result<Self, CommandError> {
        let account = self.config.config.account(endpoint, self.is_said("source.auth"))?;
        Ok(Self {
            config: self.config.clone(),
            targets: self.targets.clone(),
            target: self.target.clone(),
            mirror: self.mirror.clone(),
            account: Some(account),
            output: Output::new(self.output.format),
        })
    }

    /// The same with this configuration.
    pub(super) fn configured_in(self, config: Loaded) -> Self {
        Self { targets: config.config.clone(), config, ..self }
    }

    /// The account that documents are read from and written to: the configured one, unless another was named. Of a mirror alone it has to be.
    pub fn account(&self) -> Result<&Source, CommandError> {
        match &self.account {
            Some(account) => Ok(account),
            None if self.mirror.is_none() || self.is_said("source.endpoint") => Ok(&self.config.config.source),
            None => {
                let message = "a mirror alone tells no account, and this needs one";
                let remedy =
                    "name it: restore … --account https://ACCOUNT.documents.azure.com/, or --set source.endpoint=…";
                Err(CommandError::new(Exit::Usage, message, remedy))
            }
        }
    }

    /// What a command needs to be told again so that it works with the same mirror and the same account: behind the program's name, and at its end.
    pub fn again(&self) -> (String, String) {
        // What no shell can pass on was never passed.
        let word = |text: String| shell_word(&text).unwrap_or(text);
        let mirror = self.mirror.as_ref().map(|mirror| format!(" --mirror {}", word(mirror.to_string())));
        let account = self.account.as_ref().map(|account| format!(" --account {}", word(account.endpoint.clone())));
        (mirror.unwrap_or_default(), account.unwrap_or_default())
    }

    /// Refuses what takes more than a mirror.
    pub fn require_configuration(&self, what: &str, remedy: &str) -> Result<(), CommandError> {
        if self.mirror.is_none() {
            return Ok(());
        }
        Err(CommandError::new(Exit::Usage, format!("--mirror is not for {what}"), remedy))
    }

    /// Whether somebody said what this setting is.
    pub(super) fn is_said(&self, setting: &str) -> bool {
        self.config.origins.get(setting).is_some_and(|origin| *origin != Origin::Default)
    }

    /// A place of exports. Blobs are reached by the credential of the target.
    pub(super) fn open_export(&self, place: &ExportPlace) -> Result<Box<dyn Place>, CommandError> {
        Ok(open_export(place, &self.config.config.target, self.is_said("target.auth"))?)
    }

    /// The container that `--source DATABASE/CONTAINER` names; without it the only one.
    pub fn source_container(&self, source: &Option<String>) -> Result<&Container, CommandError> {
        match (source, self.configured()?) {
            (Some(source), _) => self.named(source),
            (None, [only]) => Ok(only),
            (None, several) => Err(CommandError::new(
                Exit::Usage,
                format!("{} containers are configured", several.len()),
                format!("choose one with --source: {}", choices(several)),
            )),
        }
    }

    /// The containers that `--source` names; without it all.
    pub fn containers(&self, sources: &[String]) -> Result<Vec<&Container>, CommandError> {
        let all = self.configured()?;
        if sources.is_empty() {
            return Ok(all.iter().collect());
        }
        let mut chosen: Vec<&Container> = Vec::new();
        for source in sources {
            let container = self.named(source)?;
            if !chosen.contains(&container) {
                chosen.push(container);
            }
        }
        Ok(chosen)
    }

    /// All containers; an error where none is configured.
    pub fn configured(&self) -> Result<&[Container], CommandError> {
        if self.config.config.containers.is_empty() {
            return Err(CommandError::new(
                Exit::Usage,
                "containers: none is configured",
                "name a configuration file with -c or COSMIRROR_CONFIG, and a [[containers]] section in it; or a mirror with --mirror",
            ));
        }
        Ok(&self.config.config.containers)
    }

    fn named(&self, source: &str) -> Result<&Container, CommandError> {
        let all = self.configured()?;
        let found = all.iter().find(|c| source.split_once('/') == Some((&c.database, &c.container)));
        found.ok_or_else(|| {
            CommandError::new(
                Exit::Usage,
                format!("--source {source}: no such container is configured"),
                format!("choose one of {}", choices(all)),
            )
        })
    }
}

fn choices(containers: &[Container]) -> String {
    let named: Vec<String> = containers.iter().map(|c| format!("{}/{}", c.database, c.container)).collect();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Format;
    use crate::config::{FeedMode, Start};

    fn context(names: &[(&str, &str)]) -> Context {
        let container = |(database, container): &(&str, &str)| Container {
            database: (*database).to_owned(),
            container: (*container).to_owned(),
            feed: FeedMode::default(),
            start: Start::default(),
            versions_per_minute_max: 0,
        };
        let containers = names.iter().map(container).collect();
        let config = Loaded { config: Config { containers, ..Config::default() }, ..Loaded::default() };
        Context {
            config,
            targets: Config::default(),
            target: None,
            mirror: None,
            account: None,
            output: Output::new(Format::Text),
        }
    }

    #[test]
    fn the_only_container_needs_no_name() {
        let context = context(&[("shop", "orders")]);
        assert_eq!(context.source_container(&None).unwrap().container, "orders");
        assert_eq!(context.source_container(&Some("shop/orders".to_owned())).unwrap().container, "orders");
        assert_eq!(context.containers(&[]).unwrap().len(), 1);
    }

    #[test]
    fn several_containers_ask_for_a_choice_and_list_it() {
        let context = context(&[("shop", "orders"), ("shop", "users")]);
        let error = context.source_container(&None).unwrap_err();
        assert_eq!(
            (error.exit, error.remedy.as_str()),
            (Exit::Usage, "choose one with --source: shop/orders, shop/users")
        );
        let error = context.source_container(&Some("shop/carts".to_owned())).unwrap_err();
        assert_eq!((error.exit, error.remedy.as_str()), (Exit::Usage, "choose one of shop/orders, shop/users"));
        let twice = ["shop/users".to_owned(), "shop/users".to_owned()];
        assert_eq!(context.containers(&twice).unwrap().len(), 1);
    }

    #[test]
    fn no_container_at_all_is_a_usage_error() {
        assert_eq!(context(&[]).containers(&[]).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn a_mirror_alone_tells_no_account() {
        let url = MirrorUrl::parse("/var/mirror").unwrap();
        let alone = Context { mirror: Some(url), ..context(&[("shop", "orders")]) };
        assert!(context(&[]).account().is_ok());
        assert!(alone.account().unwrap_err().remedy.contains("--account"));
        let into = alone.into_account("http://127.0.0.1:1/").unwrap();
        assert_eq!(into.account().unwrap().endpoint, "http://127.0.0.1:1/");
        assert_eq!(into.again(), (" --mirror /var/mirror".to_owned(), " --account http://127.0.0.1:1/".to_owned()));
        assert_eq!(context(&[]).again(), (String::new(), String::new()));
        let spaced = Context { mirror: Some(MirrorUrl::parse("/my mirror").unwrap()), ..context(&[]) };
        assert_eq!(spaced.again().0, " --mirror '/my mirror'");
        assert_eq!(into.config.config.source, Source::default(), "the mirror's own source is another one");
        assert_eq!(alone.into_account("nowhere").unwrap_err().exit, Exit::Usage);
        assert_eq!(alone.require_configuration("verify", "use it").unwrap_err().exit, Exit::Usage);
    }
}
