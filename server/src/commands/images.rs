//! Images that were built elsewhere.

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::ContainerRelease;
use super::rollback::follow;
use super::run::Session;
use crate::web::api::shapes::{ImageUpdate, NewImages, Release};

pub(super) async fn release(session: &mut Session, args: ContainerRelease) -> Result<(), Failure> {
    let updates = args.images.iter().map(|word| update(word)).collect::<Result<Vec<_>, Failure>>()?;
    let app = session.app(None).await?;
    let named = updates.iter().map(|update| format!("{} image {}", update.process_type, update.docker_image));
    let doing = format!("Releasing {} to {app}", named.collect::<Vec<_>>().join(", "));
    let types: Vec<String> = updates.iter().map(|update| update.process_type.clone()).collect();
    let wish = NewImages { updates };
    let made: Release =
        session.client.send(Method::POST, &path(&["apps", app.as_str(), "container:release"]), &wish).await?;
    let others: Vec<&str> =
        made.images.keys().map(String::as_str).filter(|name| types.iter().all(|own| own != name)).collect();
    if args.detach {
        if session.options.json {
            return session.terminal.json(&made).await;
        }
        return session.terminal.line(format!("{doing}... v{} is on its way", made.version)).await;
    }
    let ended = follow(session, &app, &doing, made.version).await?;
    if session.options.json {
        return session.terminal.json(&ended).await;
    }
    if !others.is_empty() {
        let verb = if others.len() == 1 { "goes" } else { "go" };
        let note = format!("{} {verb} on with the image of before.\n", others.join(", "));
        session.terminal.note(&note).await;
    }
    Ok(())
}

fn update(word: &str) -> Result<ImageUpdate, Failure> {
    match word.split_once('=') {
        Some((process_type, image)) if !process_type.is_empty() && !image.is_empty() => {
            Ok(ImageUpdate { process_type: process_type.to_owned(), docker_image: image.to_owned() })
        }
        _ => Err(Failure::refused(format!(
            "`{word}` is not `type=image`, such as `web=registry.example.com/blog:1.2`"
        ))),
    }
}
