//! Backups: a machine that is lost comes back from one file and its key, and what cannot be restored says why.

use std::fs;

use slipway_tests::{Door, Platform, SHORT, until};

#[test]
fn a_lost_machine_comes_back_from_its_backup_and_its_key() {
    let Some(platform) = Platform::start() else { return };
    let blog = platform.app("blog").answering("first");
    blog.push(Door::Ssh).ok();
    blog.verb(&["config:set", "SECRET=hush"]).ok();
    blog.answer("second");
    blog.push(Door::Ssh).ok();
    let idle = platform.app("idle");
    let (releases, head) = (blog.releases().len(), blog.head());

    // While somebody pushes: the backup has that push or has it not, and is good either way.
    blog.answer("third");
    let pushing = blog.start_push(Door::Ssh, &[]);
    let (file, key) = (platform.home().join("backup.tar"), platform.home().join("kept-apart.key"));
    let path = file.display().to_string();
    let said = platform.server().by_hand("backup", &[&path]);
    said.ok().says("The key of the config vars is not in it").says("config.key");
    pushing.end().ok();
    let data = platform.home().join("data");
    fs::copy(data.join("config.key"), &key).expect("the key");
    platform.server().by_hand("backup", &[&path]).refused("exists already");

    // The machine is lost: no process, no container, no image, no file.
    platform.power_off();
    for container in platform.engine().containers_of(&platform.id()) {
        platform.engine().docker(&["rm", "-f", &container]).expect("docker rm");
    }
    fs::remove_dir_all(&data).expect("the data folder");
    let key = key.display().to_string();
    platform.server().by_hand("restore", &[&path]).refused("name your copy of config.key with --key");
    platform.server().by_hand("restore", &[&path, "--key", &key]).ok().says("Restored 2 apps");
    let again = platform.server().by_hand("restore", &[&path, "--key", &key]);
    again.refused("is not empty, and a restore would mix two platforms");

    platform.server().start();
    platform.server().until_ready();
    until("blog to answer again", SHORT, || ["second", "third"].contains(&blog.answer_now().as_str()));
    assert!(blog.releases().len() >= releases, "{:?}", blog.releases());
    blog.verb(&["config:get", "SECRET"]).ok().says("hush");
    assert!(idle.releases().is_empty());
    // What the clients know of it is still true: host key, keys, tokens, history.
    let main = blog.remote_ref("refs/heads/main").expect("main");
    assert!([head, blog.head()].contains(&main), "{main}");
    blog.verb(&["rollback", "v1"]).ok();
    assert_eq!(blog.answer_now(), "first");
    blog.answer("fourth");
    blog.push(Door::Http).ok();
    assert_eq!(blog.answer_now(), "fourth");
}

#[test]
fn what_cannot_be_restored_says_why_and_is_begun_anew() {
    let Some(platform) = Platform::start() else { return };
    platform.app("blog");
    let home = platform.home().to_owned();
    let file = |name: &str| home.join(name).display().to_string();
    platform.server().by_hand("backup", &[&file("whole.tar")]).ok();
    fs::copy(home.join("data/config.key"), home.join("own.key")).expect("the key");
    let whole = fs::read(file("whole.tar")).expect("the backup");
    fs::write(file("cut.tar"), &whole[..whole.len() / 2]).expect("a file");
    platform.power_off();
    platform.server().by_hand("backup", &[&file("late.tar")]).refused("start `slipway serve` first");
    fs::remove_dir_all(home.join("data")).expect("the data folder");

    let other = "other:".to_owned() + &"7".repeat(64);
    fs::write(file("other.key"), other).expect("a file");
    let restore = |archive: &str, key: &str| {
        platform.server().by_hand("restore", &[&file(archive), "--key", &file(key)])
    };
    restore("cut.tar", "own.key").refused("was cut short");
    platform.server().second().refused("run `slipway restore` again");
    restore("whole.tar", "other.key").refused("which is not in the key file");
    platform.server().second().refused("run `slipway restore` again");
    restore("whole.tar", "own.key").ok().says("Restored 1 apps");
    platform.server().start();
    platform.server().until_ready();
    assert_eq!(platform.get("/apps").as_array().map(Vec::len), Some(1));
}
