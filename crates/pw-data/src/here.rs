//! What a server on this machine is told through the folder of its socket.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::path::Path;

use pw_run::Failure;
use tokio_postgres::Client;

use crate::roles::{self, Around};
use crate::server::{Address, quoted};

/// A database of such a server, and who signs in.
#[derive(Debug, Clone, Copy)]
pub struct Here<'a> {
    pub folder: &'a Path,
    pub user: &'a str,
    pub database: &'a str,
}

impl Here<'_> {
    /// Makes the server look through the database, so that it plans well: one that was just loaded knows nothing.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn look_through(&self) -> Result<(), Failure> {
        self.tell(&["ANALYZE".to_owned()]).await
    }

    /// Makes an empty database anew.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn make_anew(&self, name: &str) -> Result<(), Failure> {
        let name = quoted(name);
        self.tell(&[
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name} TEMPLATE template0"),
        ])
        .await
    }

    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn drop_database(&self, name: &str) -> Result<(), Failure> {
        self.tell(&[format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name))]).await
    }

    /// Makes roles that nobody can sign in as. They may own everything, also what only a superuser owns.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn make_roles(&self, names: &BTreeSet<String>) -> Result<(), Failure> {
        let each = |name: &String| format!("CREATE ROLE {} SUPERUSER NOLOGIN", quoted(name));
        self.tell(&names.iter().map(each).collect::<Vec<_>>()).await
    }

    /// Makes all roles that are around a database and not there, as they were.
    ///
    /// # Errors
    /// The server cannot be reached, or refuses.
    pub async fn make_roles_of(&self, around: &Around) -> Result<(), Failure> {
        roles::make_on(&self.connect().await?, around, &around.roles.keys().cloned().collect()).await
    }

    async fn tell(&self, statements: &[String]) -> Result<(), Failure> {
        let client = self.connect().await?;
        for statement in statements {
            let told = client.batch_execute(statement).await;
            told.map_err(|error| Failure::new(format!("could not do `{statement}`")).because(error))?;
        }
        Ok(())
    }

    /// What is around the database.
    ///
    /// # Errors
    /// The server cannot be reached, or says something else than it should.
    pub async fn around(&self) -> Result<Around, Failure> {
        let opened = self.open()?;
        roles::read(&Address::local(opened.as_raw_fd(), self.user, self.database)).await
    }

    fn open(&self) -> Result<File, Failure> {
        File::open(self.folder).map_err(|error| {
            Failure::new(format!("could not open `{}`", self.folder.display())).because(error)
        })
    }

    async fn connect(&self) -> Result<Client, Failure> {
        let opened = self.open()?;
        Address::local(opened.as_raw_fd(), self.user, self.database).connect().await
    }
}
