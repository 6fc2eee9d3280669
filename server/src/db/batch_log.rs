//! The text of what batches wrote, in chunks; an event's id is its byte offset.

use sqlx::PgConnection;

use crate::domain::ids::BatchId;

/// Bytes stored so far.
pub(crate) async fn length(conn: &mut PgConnection, batch: BatchId) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"SELECT coalesce(max(start_offset + length(text)), 0) AS "length!" FROM batch_log WHERE batch_id = $1"#,
        batch.0,
    )
    .fetch_one(conn)
    .await
}

/// Adds `text` at `offset`, which must be the length so far: two writers of one log collide on the key.
pub(crate) async fn append(
    conn: &mut PgConnection,
    batch: BatchId,
    offset: i64,
    text: &[u8],
) -> sqlx::Result<()> {
    sqlx::query!(
        "INSERT INTO batch_log (batch_id, start_offset, text) VALUES ($1, $2, $3)",
        batch.0,
        offset,
        text,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The text from `offset` on, some chunks of it; empty if there is no more.
pub(crate) async fn read_from(conn: &mut PgConnection, batch: BatchId, offset: i64) -> sqlx::Result<Vec<u8>> {
    const CHUNKS: i64 = 16;
    let rows = sqlx::query!(
        "SELECT start_offset, text FROM batch_log
         WHERE batch_id = $1 AND start_offset + length(text) > $2
         ORDER BY start_offset LIMIT $3",
        batch.0,
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

/// Whole lines stored so far.
pub(crate) async fn lines(conn: &mut PgConnection, batch: BatchId) -> sqlx::Result<usize> {
    let mut offset = 0;
    let mut lines = 0;
    loop {
        let text = read_from(conn, batch, offset).await?;
        if text.is_empty() {
            return Ok(lines);
        }
        lines += text.iter().filter(|byte| **byte == b'\n').count();
        offset += i64::try_from(text.len()).unwrap_or(0);
    }
}
