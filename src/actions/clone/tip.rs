//! Finds the current commit of a remote, without a clone.

use super::super::servers::Session;
use super::super::{Error, Reporter};
use super::source::{self, CloneSource};
use super::{Options, Revision};
use crate::git::{Remote, Trouble, fetch};

/// Returns the commit that a clone with these options would check out; `None` if the remote has no such revision, which
/// includes abbreviated commits.
///
/// # Errors
/// [`Error::Offline`], or an error of git or the server.
pub(in crate::actions) fn tip(options: &Options, reporter: &dyn Reporter) -> Result<Option<String>, Error> {
    let source = CloneSource::of(&options.model, options.servers.endpoint(), &options.cwd);
    source::check(&source)?;
    let wish = Revision::of(options.revision.as_deref(), &source.url)?;
    if let Revision::Exact(name) = wish
        && fetch::is_object_name(name)
    {
        return Ok(Some(name.to_owned()));
    }
    let session = Session::new(&options.servers, reporter);
    if session.is_offline() && !source.is_path {
        return Err(Error::Offline { what: "look for a newer commit" });
    }
    let Some(url) = source.url.to_str() else { return Ok(None) };
    let names = match wish {
        Revision::Default => vec!["HEAD".to_owned()],
        Revision::Exact(name) => vec![name.to_owned()],
        Revision::Named(name) => [("heads", ""), ("tags", "^{}"), ("tags", "")]
            .map(|(kind, peeled)| format!("refs/{kind}/{name}{peeled}"))
            .into(),
    };
    // The star also matches the commit of an annotated tag.
    let pattern = match wish {
        Revision::Named(name) => format!("{name}*"),
        Revision::Default | Revision::Exact(_) => names.concat(),
    };
    let git = session.git(&options.cwd)?;
    let remote = Remote { name: url.to_owned(), url: url.to_owned(), is_promisor: false };
    let refs = session.network(|network| match fetch::list(&git, network, &remote, &pattern) {
        Err(error) if error.is(Trouble::NoSuchRef) => Ok(Vec::new()),
        refs => Ok(refs?),
    })?;
    let found = names.iter().find_map(|name| refs.iter().find(|there| there.name == *name));
    Ok(found.map(|there| there.id.clone()))
}
