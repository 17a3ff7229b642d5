//! AWS credentials and region: from the environment, else from the profile of the shared files.
//!
//! They are read once, when the config is. Credentials that another program renews in the files count from the
//! next start on; roles, single sign-on and processes that hand credentials out are not asked.
//!
//! Source: "Configuration and credential file settings", <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>

use url::Url;

use super::{Env, Secret};

/// Where requests are signed for if nothing says it.
const REGION: &str = "us-east-1";

/// What a request to AWS is signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name of the key: no secret, but nobody else's business.
    pub access_key_id: Secret,
    /// The key.
    pub secret_access_key: Secret,
    /// What temporary credentials have beside it.
    pub session_token: Option<Secret>,
    /// Where the service is.
    pub region: String,
}

impl Credentials {
    /// The credentials for a service at an address, which usually names its region.
    pub(super) fn find(address: Option<&Url>, env: Env<'_>) -> Option<Credentials> {
        let region = address.and_then(region_of).or_else(|| self::region(env));
        let found = |find: &dyn Fn(&str) -> Option<String>| {
            Some(Credentials {
                access_key_id: Secret::new(find("aws_access_key_id")?),
                secret_access_key: Secret::new(find("aws_secret_access_key")?),
                session_token: find("aws_session_token").map(Secret::new),
                region: region.clone().unwrap_or_else(|| REGION.to_owned()),
            })
        };
        found(&|name| filled(&name.to_ascii_uppercase(), env)).or_else(|| {
            let profile = Profile::read(env);
            found(&|name| profile.find(name))
        })
    }
}

/// True if the environment itself holds or chooses credentials: files in a home may be there for other reasons.
pub(super) fn are_chosen(env: Env<'_>) -> bool {
    ["AWS_ACCESS_KEY_ID", "AWS_PROFILE"].iter().any(|name| filled(name, env).is_some())
}

/// The region: `AWS_REGION`, `AWS_DEFAULT_REGION`, or the profile's.
pub(super) fn region(env: Env<'_>) -> Option<String> {
    filled("AWS_REGION", env)
        .or_else(|| filled("AWS_DEFAULT_REGION", env))
        .or_else(|| Profile::read(env).find("region"))
}

/// The region in an address such as `bedrock-runtime.us-east-1.amazonaws.com`.
fn region_of(address: &Url) -> Option<String> {
    let mut labels = address.host_str()?.split('.');
    labels.find(|label| label.starts_with("bedrock-runtime"))?;
    labels.next().map(str::to_owned)
}

fn filled(name: &str, env: Env<'_>) -> Option<String> {
    env(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The two shared files, and the name of a profile in them.
#[derive(Debug, Default)]
struct Profile {
    name: String,
    credentials: String,
    config: String,
}

impl Profile {
    /// Reads the files; one that is not there says nothing.
    fn read(env: Env<'_>) -> Profile {
        let home = filled("HOME", env).or_else(|| filled("USERPROFILE", env));
        let text = |variable: &str, name: &str| {
            let beside = || home.as_ref().map(|home| format!("{home}/.aws/{name}"));
            let path = filled(variable, env).or_else(beside)?;
            std::fs::read_to_string(path).ok() // Without it there is no profile.
        };
        Profile {
            name: filled("AWS_PROFILE", env).unwrap_or_else(|| "default".to_owned()),
            credentials: text("AWS_SHARED_CREDENTIALS_FILE", "credentials").unwrap_or_default(),
            config: text("AWS_CONFIG_FILE", "config").unwrap_or_default(),
        }
    }

    /// A setting of the profile.
    fn find(&self, name: &str) -> Option<String> {
        let in_config = format!("profile {}", self.name);
        setting(&self.credentials, &self.name, name)
            .or_else(|| setting(&self.config, &in_config, name))
            .or_else(|| setting(&self.config, &self.name, name).filter(|_| self.name == "default"))
            .map(str::to_owned)
    }
}

/// The value of a setting in a section.
fn setting<'a>(text: &'a str, section: &str, name: &str) -> Option<&'a str> {
    let mut here = false;
    let mut found = None;
    for line in text.lines() {
        if let Some(title) = line.trim().strip_prefix('[').and_then(|line| line.split_once(']')) {
            here = title.0.split_whitespace().eq(section.split_whitespace());
            continue;
        }
        // An indented line belongs to the setting before it.
        let is_own = !line.starts_with([' ', '\t', '#', ';']);
        let Some((key, value)) = line.split_once('=').filter(|_| here && is_own) else { continue };
        if key.trim().eq_ignore_ascii_case(name) {
            let end = [" #", " ;", "\t#", "\t;"].iter().filter_map(|mark| value.find(mark)).min();
            found = Some(value.get(..end.unwrap_or(value.len())).unwrap_or_default().trim());
        }
    }
    found.filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "\
# mine
[default]
aws_access_key_id = AKIDDEFAULT
aws_secret_access_key=secret/with=signs # not shared
[ work ]
AWS_ACCESS_KEY_ID = AKIDWORK
aws_secret_access_key = other
aws_session_token = token
";
    const CONFIG: &str = "\
[default]
region = eu-west-1
s3 =
  region = nowhere
[profile work]
region = us-west-2
";

    fn profile(name: &str) -> Profile {
        Profile { name: name.to_owned(), credentials: CREDENTIALS.to_owned(), config: CONFIG.to_owned() }
    }

    #[test]
    fn a_profile_is_read_from_both_files() {
        let find = |profile_name: &str, name: &str| profile(profile_name).find(name);
        assert_eq!(find("default", "aws_access_key_id").as_deref(), Some("AKIDDEFAULT"));
        assert_eq!(find("default", "aws_secret_access_key").as_deref(), Some("secret/with=signs"));
        assert_eq!(find("default", "aws_session_token"), None);
        assert_eq!(find("default", "region").as_deref(), Some("eu-west-1"));
        assert_eq!(find("work", "aws_access_key_id").as_deref(), Some("AKIDWORK"));
        assert_eq!(find("work", "region").as_deref(), Some("us-west-2"));
        assert_eq!(find("nobody", "aws_access_key_id"), None);
    }

    #[test]
    fn the_environment_comes_before_the_files() {
        let env = |name: &str| match name {
            "AWS_ACCESS_KEY_ID" => Some("AKID".to_owned()),
            "AWS_SECRET_ACCESS_KEY" => Some("secret".to_owned()),
            "AWS_DEFAULT_REGION" => Some("eu-central-1".to_owned()),
            _ => None,
        };
        let credentials = Credentials::find(None, &env).unwrap();
        assert_eq!((credentials.access_key_id.expose(), credentials.session_token), ("AKID", None));
        assert_eq!(credentials.region, "eu-central-1");
        assert!(are_chosen(&env) && !are_chosen(&|_| None));
        assert_eq!(Credentials::find(None, &|_| None), None);
    }

    #[test]
    fn the_address_names_the_region() {
        let region = |url: &str| region_of(&Url::parse(url).unwrap());
        assert_eq!(region("https://bedrock-runtime.us-west-2.amazonaws.com").as_deref(), Some("us-west-2"));
        assert_eq!(
            region("https://vpce-1.bedrock-runtime.eu-west-1.vpce.amazonaws.com").as_deref(),
            Some("eu-west-1")
        );
        assert_eq!(region("http://127.0.0.1:1"), None);
    }
}
