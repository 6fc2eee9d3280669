//! After a new key was put first in the key file: every app's own key is sealed with it, at the next start.

use sqlx::PgPool;
use tracing::{info, warn};

use crate::crypto::KeyFile;
use crate::db::apps;

/// Seals anew what another key than the first has sealed. An app whose key cannot be opened is named and left as it is:
/// the others start.
pub(super) async fn rewrap(pool: &PgPool, keys: &KeyFile) -> sqlx::Result<()> {
    let mut conn = pool.acquire().await?;
    let mut rewrapped = 0;
    for app in apps::all(&mut conn).await? {
        match keys.rewrap(app.id, &app.wrapped_key) {
            Ok(None) => {}
            Ok(Some(new)) => {
                let is_new = apps::set_wrapped_key(&mut conn, app.id, &app.wrapped_key, &new).await?;
                rewrapped += u32::from(is_new);
            }
            Err(error) => warn!("The config vars of {} cannot be opened: {error}", app.name),
        }
    }
    if rewrapped > 0 {
        info!("The keys of {rewrapped} apps are sealed with the first key of the key file now");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;
    use crate::crypto::{self, Label};
    use crate::db::apps::NewApp;
    use crate::db::people;
    use crate::db::testing::TestDatabase;
    use crate::domain::ids::{AppId, TeamId};
    use crate::domain::names::TeamName;

    fn key_file(path: &Path, lines: &[&str]) -> KeyFile {
        std::fs::write(path, lines.join("\n")).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
        KeyFile::open_or_create(path).unwrap()
    }

    async fn app(pool: &PgPool, team: TeamId, name: &str, keys: &KeyFile) -> AppId {
        let (id, mut conn) = (AppId::new(), pool.acquire().await.unwrap());
        let wrapped_key = keys.new_app_key(id);
        let new = NewApp { id, name: &name.parse().unwrap(), team, wrapped_key: &wrapped_key };
        assert!(apps::create(&mut conn, &new).await.unwrap());
        id
    }

    #[tokio::test]
    async fn after_a_start_with_a_new_key_the_old_one_is_not_needed() {
        let (database, folder) = (TestDatabase::new().await, tempfile::tempdir().unwrap());
        let (pool, path) = (&database.pool, folder.path().join("key"));
        let [old, new, lost] = [("old", "1"), ("new", "2"), ("lost", "3")]
            .map(|(id, digit)| format!("{id}:{}", digit.repeat(64)));
        let before = key_file(&path, &[&old]);
        let mut conn = pool.acquire().await.unwrap();
        let team = people::create_team(&mut conn, &TeamName::default_team()).await.unwrap().unwrap();
        let blog = app(pool, team, "blog", &before).await;
        let shop = app(pool, team, "shop", &key_file(&path, &[&lost])).await;
        let both = key_file(&path, &[&new, &old]);
        let fresh = app(pool, team, "fresh", &both).await;

        let stored =
            |apps: &[apps::App], id| apps.iter().find(|app| app.id == id).unwrap().wrapped_key.clone();
        let first = apps::all(&mut conn).await.unwrap();
        let name = "SECRET".parse().unwrap();
        let label = Label { app: blog, name: &name, version: 1 };
        let blog_key = before.unwrap(blog, &stored(&first, blog)).unwrap();
        let sealed = crypto::seal(&blog_key, label, &"hush".to_owned().into());

        rewrap(pool, &both).await.unwrap();
        let second = apps::all(&mut conn).await.unwrap();
        let only_new = key_file(&path, &[&new]);
        let blog_key = only_new.unwrap(blog, &stored(&second, blog)).unwrap();
        let opened = crypto::open(&blog_key, label, &sealed).unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&opened), "hush");
        assert_eq!(stored(&second, fresh), stored(&first, fresh), "it was sealed with the new key already");
        assert_eq!(stored(&second, shop), stored(&first, shop), "nobody can open it");

        rewrap(pool, &only_new).await.unwrap();
        assert_eq!(stored(&apps::all(&mut conn).await.unwrap(), blog), stored(&second, blog));
    }
}
