//! The text of build logs, in chunks; an event's id is its byte offset.

use sqlx::PgConnection;

use crate::domain::ids::BuildId;

/// Bytes stored so far.
pub(crate) async fn length(conn: &mut PgConnection, build: BuildId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(max(start_offset + length(text)), 0) AS "length!" FROM build_log WHERE build_id = $1"#,
        build.0,
    )
    .fetch_one(conn)
    .await
}

/// Adds `text` at `offset`, which must be the length so far: two writers of one log collide on the key.
pub(crate) async fn append(
    conn: &mut PgConnection,
    build: BuildId,
    offset: i64,
    text: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO build_log (build_id, start_offset, text) VALUES ($1, $2, $3)",
        build.0,
        offset,
        text,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The text from `offset` on, at most about 256 KiB of it; empty if there is no more.
pub(crate) async fn read_from(conn: &mut PgConnection, build: BuildId, offset: i64) -> sqlx::Result<Vec<u8>> {
    const CHUNKS: i64 = 16;
    let rows = sqlx::query!(
        "SELECT start_offset, text FROM build_log
         WHERE build_id = $1 AND start_offset + length(text) > $2
         ORDER BY start_offset LIMIT $3",
        build.0,
        offset,
        CHUNKS,
    )
    .fetch_all(conn)
    .await?;
    let mut text = Vec::new();
    for row in rows {
        let skip = usize::try_from(offset - row.start_offset).unwrap_or(0);
        text.extend_from_slice(row.text.get(skip..).unwrap_or_default());
    }
    Ok(text)
}

/// Lines that have ended before byte `offset`.
pub(crate) async fn lines_before(conn: &mut PgConnection, build: BuildId, offset: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(sum(length(part) - length(replace(part, E'\n', ''))), 0)::bigint AS "lines!"
           FROM (SELECT encode(substring(text FROM 1 FOR least(length(text), $2 - start_offset)::int), 'escape') AS part
                 FROM build_log WHERE build_id = $1 AND start_offset < $2) parts"#,
        build.0,
        offset,
    )
    .fetch_one(conn)
    .await
}

/// The byte at which a line begins, the first being 1; `None` if there are fewer.
pub(crate) async fn begin_of_line(
    conn: &mut PgConnection,
    build: BuildId,
    line: i64,
) -> sqlx::Result<Option<i64>> {
    let newlines = line.saturating_sub(1);
    if newlines < 1 {
        return Ok(Some(0));
    }
    // The chunk with the newline before the line.
    let row = sqlx::query!(
        r#"SELECT start_offset, text, before AS "before!"
           FROM (SELECT start_offset, text, (sum(lines) OVER (ORDER BY start_offset) - lines)::bigint AS before
                 FROM (SELECT start_offset, text,
                              length(encode(text, 'escape'))
                                  - length(replace(encode(text, 'escape'), E'\n', '')) AS lines
                       FROM build_log WHERE build_id = $1) chunks) counted
           WHERE before < $2 ORDER BY start_offset DESC LIMIT 1"#,
        build.0,
        newlines,
    )
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let nth = usize::try_from(newlines - row.before - 1).unwrap_or(0);
    let ends = row.text.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let end = ends.map(|(at, _)| at).nth(nth).and_then(|at| i64::try_from(at).ok());
    Ok(end.map(|at| row.start_offset + at + 1))
}
