//! Contacts servers: finds and transfers LFS objects, uses the Hub's interface, and decides which server receives a
//! token.
//!
//! ```text
//! Settings ─▶ Wire ─▶ Auth ─▶ LfsServer ─▶ Object ─ ranged ─▶ Ranged: ReadAt     kilobytes, to plan
//!        (sockets)  (logins)    Endpoint          ─ stream ─▶ bytes in order     once, by several connections
//!                       │                         ─ to_store ─▶ <lfs>/objects    with resume
//!                       │       upload ◀─ <lfs>/objects      in one piece, or in the parts that the server requests
//!                       └────▶ Hub ─▶ models, their files and pull requests
//! ```
//!
//! Invariants: only this module has sockets and can read a secret ([`Secret`]); a token goes only to the origin that it
//! belongs to (`login`); a download without the size of the object is refused, and a file that [`to_store`] names has
//! the object's SHA-256. The module reads no environment, starts no process itself and prints nothing. It blocks: a few
//! long streams need threads, no runtime.

mod action;
mod agents;
mod batch;
mod batch_api;
mod cause;
mod config;
mod connect;
mod conversation;
mod cookies;
mod custom_agent;
pub mod discussions;
mod download;
mod endpoint;
mod error;
mod handed;
pub mod hub;
mod known;
mod learned;
mod links;
mod local;
mod located;
mod login;
mod message;
mod netrc;
mod object;
mod oidc;
mod opening;
mod operation;
mod origin;
mod pace;
mod parts;
mod passing;
mod pktline;
mod ranged;
mod redirect;
mod refusal;
mod retry;
mod secret;
mod settings;
mod ssh;
mod ssh_link;
mod stream;
mod tls;
pub mod token;
pub mod tree;
mod upload;
mod url;
mod whole;
mod window;
mod wire;

pub use action::Action;
pub use batch::LfsServer;
pub use cause::{AgentFault, BadAnswer, CredentialSource, ProxyFault, Said, Transport};
pub use config::{Config, truth};
pub use download::{to_part, to_store};
pub use endpoint::{Endpoint, Moved, Remotes};
pub use error::{Error, Result};
pub use hub::{Hub, ModelName};
pub use learned::Learned;
pub use login::Auth;
pub use object::Object;
pub use opening::{await_opening, await_reopening};
pub use origin::{NotAllowed, Origin, Scheme};
pub use ranged::{Grain, Ranged};
pub use secret::Secret;
pub use settings::{HUB, Proxies, Settings};
pub use stream::{Consumer, Keeper};
pub use token::TokenSource;
pub use upload::{Plan, Uploaded};
pub(crate) use url::escape;
pub use url::{Login, Url};
pub use whole::to_file;
pub use window::{CHUNK, WINDOW};
pub use wire::{Event, Interrupt, Observer, Wire};
