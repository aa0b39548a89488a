//! Finds or creates the pull request: an identical one of any author, an unfinished one of ours, or a new one.
//!
//! Invariant: the content of a pull request identifies it: another author's by the object IDs of its files, ours by its
//! author and the marker in its description, never by a title. The request for a new one is sent once per run; if the
//! response is lost, the pull request is searched.

use std::collections::BTreeSet;
use std::time::Duration;

use super::PublishError;
use super::journal::{Begun, PublishJournal};
use super::{Error, Plan, PublishOutcome, PublishReport, Publisher, content, text};
use crate::actions::lfs_remote::Sent;
use crate::actions::pull::{self, requests};
use crate::actions::{HalfWay, Note, RemoteNote};
use crate::git::fetch;
use crate::remote::discussions::{Account, PullRequest, PullRequestStatus};
use crate::remote::{self, Hub, ModelName};
use crate::repo::ObjectId;
use crate::safetensors::shard::Index;

/// The longest shard index of another author that is read.
const MAX_INDEX: u64 = 256 << 20;

/// When a pull request whose number did not arrive is searched.
const LOOKS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

/// Returns the account of the token, if it may write and may read the model's files.
pub(super) fn account(hub: &Hub<'_>, model: &ModelName) -> Result<Account, Error> {
    let token = hub.auth().token()?.ok_or(Error::Unpublished(PublishError::NoToken))?;
    let account = hub.account()?;
    if account.only_reads {
        return Err(Error::Unpublished(PublishError::ReadOnlyToken { place: token.place.clone() }));
    }
    hub.check_access(model)?;
    Ok(account)
}

/// The pull requests of a model, for an account that may create them.
pub(super) struct Requests<'a> {
    pub(super) publisher: &'a Publisher<'a>,
    pub(super) hub: &'a Hub<'a>,
    pub(super) model: ModelName,
    pub(super) account: Account,
}

/// A pull request of ours.
struct Own {
    number: u64,
    status: PullRequestStatus,
    description: String,
}

impl Own {
    fn is_unfinished(&self) -> bool {
        self.status == PullRequestStatus::Draft
    }
}

impl Requests<'_> {
    pub(super) fn publish(&self, mut plan: Plan) -> Result<PublishReport, Error> {
        let journal = PublishJournal::open(self.publisher.repo.common_dir())?;
        let known = self.hub.pull_requests(&self.model)?;
        let own = self.own(&known)?;
        let (marker, mine) = self.mine(&plan, &own)?;
        let message = self.publisher.options.message.as_deref();
        plan.description = text::description(message, &plan.files, &marker);
        let begun = journal.read(&marker)?.filter(|begun| begun.place == self.model.as_str());
        let mine = mine.or_else(|| {
            let number = begun.as_ref()?.number?;
            own.iter().find(|own| own.number == number && own.is_unfinished())
        });
        if let Some(mine) = mine.filter(|mine| !mine.is_unfinished())
            && let Some(commit) = self.pushed(mine.number, &plan)?
        {
            journal.remove(&marker)?;
            return Ok(self.done(
                PublishOutcome::Exists,
                plan,
                mine.number,
                commit,
                Some(self.account.name.clone()),
            ));
        }
        if mine.is_none()
            && !self.publisher.options.force
            && let Some((number, commit, author)) = self.identical(&known, &plan)?
        {
            journal.remove(&marker)?;
            return Ok(self.done(PublishOutcome::Exists, plan, number, commit, author));
        }
        let objects = self.publisher.prove(&plan.files)?;
        let number = match (mine, begun) {
            (Some(mine), _) => mine.number,
            // The request was sent, and the response was lost: the pull request may be visible now.
            (None, Some(_)) => match self.look_again(&marker)? {
                Some(number) => number,
                None => self.create(&plan, &marker, &journal)?,
            },
            (None, None) => self.create(&plan, &marker, &journal)?,
        };
        journal.write(&marker, &Begun { place: self.model.to_string(), number: Some(number) })?;
        let is_open = mine.is_some_and(|mine| !mine.is_unfinished());
        let (commit, sent) = self.finish(&plan, &objects, number, is_open)?;
        journal.remove(&marker)?;
        self.tell_of_xet(&sent, &objects);
        Ok(PublishReport { sent, ..self.done(PublishOutcome::Opened, plan, number, commit, None) })
    }

    /// Returns our pull requests that are neither closed nor merged, with their descriptions.
    fn own(&self, known: &[PullRequest]) -> Result<Vec<Own>, Error> {
        let of_us = known.iter().filter(|known| {
            known.author.as_deref() == Some(self.account.name.as_str())
                && matches!(known.status, PullRequestStatus::Draft | PullRequestStatus::Open)
        });
        let mut own = Vec::new();
        for known in of_us {
            let found = self.hub.discussion(&self.model, known.number)?;
            own.push(Own { number: known.number, status: found.status, description: found.description });
        }
        Ok(own)
    }

    /// Returns the marker of this publication, and the pull request with it. With `--force`, a finished one is skipped,
    /// and the next marker contains its number.
    fn mine<'o>(&self, plan: &Plan, own: &'o [Own]) -> Result<(String, Option<&'o Own>), Error> {
        let mut after = 0;
        loop {
            let marker = text::marker(self.model.as_str(), &plan.files, after);
            let mine = own.iter().find(|own| own.description.contains(&marker));
            match mine.filter(|mine| self.publisher.options.force && !mine.is_unfinished()) {
                Some(mine) if mine.number > after && self.pushed(mine.number, plan)?.is_some() => {
                    after = mine.number;
                }
                _ => return Ok((marker, mine)),
            }
        }
    }

    /// Returns the commit of a pull request, if it has all files.
    fn pushed(&self, number: u64, plan: &Plan) -> Result<Option<ObjectId>, Error> {
        match self.publisher.there(&reference(number))? {
            Some(there) if self.publisher.has(there, &plan.files)? => Ok(Some(there)),
            _ => Ok(None),
        }
    }

    /// Returns an open pull request with identical files, its commit and its author.
    fn identical(
        &self,
        known: &[PullRequest],
        plan: &Plan,
    ) -> Result<Option<(u64, ObjectId, Option<String>)>, Error> {
        let open: BTreeSet<u64> = known
            .iter()
            .filter(|known| known.status == PullRequestStatus::Open)
            .map(|known| known.number)
            .collect();
        if open.is_empty() {
            return Ok(None);
        }
        let Publisher { session, repo, git, network, .. } = self.publisher;
        let requests = requests::Requests::of(session, repo, git, network, None)?;
        let mut there = requests.list()?;
        there.retain(|known| open.contains(&known.number));
        for request in requests.fetch(&there)? {
            if self.is_same(&requests, &request, &plan.files)? {
                let author = known.iter().find(|known| known.number == request.number);
                let author = author.and_then(|known| known.author.clone());
                return Ok(Some((request.number, request.commit, author)));
            }
        }
        Ok(None)
    }

    /// Returns `true` if a pull request has the content of these files, and shard indexes that lead loaders only to
    /// them.
    fn is_same(
        &self,
        requests: &requests::Requests<'_>,
        request: &pull::PullRequest,
        files: &[content::PublishedFile],
    ) -> Result<bool, Error> {
        let (objects, indices): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.pointer.is_some());
        let brought = |file: &content::PublishedFile| request.taken().find(|known| known.path == file.path);
        let has =
            |file: &&content::PublishedFile| brought(file).is_some_and(|known| known.pointer == file.pointer);
        if objects.is_empty() || !objects.iter().all(has) {
            return Ok(false);
        }
        for file in indices {
            let Some(known) = brought(file) else { return Ok(false) };
            requests.complete([known.version.id])?;
            let map =
                |blob| Some(Index::parse(&self.publisher.repo.blob(blob, MAX_INDEX).ok()?).ok()?.weight_map);
            let theirs = map(known.version.id);
            if theirs.is_none() || theirs != map(file.blob) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Creates a pull request. Its journal is on the disk before the request is sent.
    fn create(&self, plan: &Plan, marker: &str, journal: &PublishJournal) -> Result<u64, Error> {
        journal.write(marker, &Begun { place: self.model.to_string(), number: None })?;
        let created = self.hub.create_pull_request(&self.model, &plan.title, &plan.description);
        match created {
            Ok(number) => Ok(number),
            Err(err) if is_unclear(&err) => match self.look_again(marker)? {
                Some(number) => Ok(number),
                None => Err(err.into()),
            },
            Err(err) => {
                // After an interruption, it is not known what the Hub did.
                if !matches!(err, remote::Error::Interrupted) {
                    journal.remove(marker)?;
                }
                Err(err.into())
            }
        }
    }

    /// Searches for a pull request that may have been created a moment ago.
    fn look_again(&self, marker: &str) -> Result<Option<u64>, Error> {
        for pause in LOOKS {
            self.hub.wait(pause)?;
            let own = self.own(&self.hub.pull_requests(&self.model)?)?;
            if let Some(own) = own.iter().find(|own| own.description.contains(marker)) {
                return Ok(Some(own.number));
            }
        }
        Ok(None)
    }

    /// Does the remaining steps: upload of objects, commit, opening. An error reports what exists.
    fn finish(
        &self,
        plan: &Plan,
        objects: &[std::path::PathBuf],
        number: u64,
        is_open: bool,
    ) -> Result<(ObjectId, Sent), Error> {
        let mut what = HalfWay::Empty;
        let done = self.steps(plan, objects, number, is_open, &mut what);
        if done.is_err() {
            let url = self.hub.pull_request_url(&self.model, number).to_string();
            self.publisher.session.reporter.finished();
            self.publisher.session.reporter.note(&Note::Remote(RemoteNote::HalfWay { number, url, what }));
        }
        done
    }

    fn steps(
        &self,
        plan: &Plan,
        objects: &[std::path::PathBuf],
        number: u64,
        is_open: bool,
        what: &mut HalfWay,
    ) -> Result<(ObjectId, Sent), Error> {
        let (publisher, reference) = (self.publisher, reference(number));
        let there = publisher.there(&reference)?;
        let pushed = match there {
            Some(there) if publisher.has(there, &plan.files)? => Some(there),
            _ => None,
        };
        let mut sent = Sent::default();
        let commit = if let Some(commit) = pushed {
            commit
        } else {
            sent = publisher.upload(&plan.files, objects, &reference)?;
            *what = HalfWay::Uploaded;
            let planned = fetch::object_id(&plan.base)?;
            let base = there.unwrap_or(planned);
            if base != planned {
                // The branch moved meanwhile: this checks that the checkpoint is still the converted one.
                content::changed(publisher.repo, publisher.git, base, &publisher.repo.entries_of(base)?)?;
            }
            let (commit, _said) = publisher.push(base, &plan.files, &reference)?;
            fetch::object_id(&commit)?
        };
        *what = HalfWay::Pushed;
        if !is_open {
            self.hub.open_pull_request(&self.model, number)?;
        }
        Ok((commit, sent))
    }

    /// Xet storage already has the bytes of a checkpoint, and a transfer agent for it sends only the others.
    fn tell_of_xet(&self, sent: &Sent, objects: &[std::path::PathBuf]) {
        // This is only a note: an unknown storage is not an error.
        if sent.bytes == 0 || sent.agent.is_some() || !self.hub.is_xet(&self.model).unwrap_or(false) {
            return;
        }
        let about = objects.iter().map(|object| content::new_in_xet(object)).sum::<u64>().min(sent.bytes);
        let note = RemoteNote::XetWouldSend { sent: sent.bytes, about };
        self.publisher.session.reporter.note(&Note::Remote(note));
    }

    fn done(
        &self,
        how: PublishOutcome,
        plan: Plan,
        number: u64,
        commit: ObjectId,
        author: Option<String>,
    ) -> PublishReport {
        PublishReport {
            number: Some(number),
            url: Some(self.hub.pull_request_url(&self.model, number).to_string()),
            reference: Some(reference(number)),
            commit: Some(commit.to_string()),
            author,
            ..PublishReport::of(how, plan)
        }
    }
}

fn reference(number: u64) -> String {
    format!("refs/pr/{number}")
}

/// Returns `true` if an error does not show whether the Hub handled the request.
fn is_unclear(err: &remote::Error) -> bool {
    use remote::Error;
    match err {
        Error::TimedOut { .. } | Error::Cut { .. } | Error::BadHttp { .. } | Error::BadAnswer { .. } => true,
        Error::Status { status, .. } => *status >= 500,
        _ => false,
    }
}
