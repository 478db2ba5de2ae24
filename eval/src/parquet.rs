//! Parquet: columns written, rows read as JSON. The low-level half of `parquet`, without Arrow.

use std::sync::Arc;

use ::parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use ::parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::Type;

use crate::columns::{Column, Columns, unwritten};
use crate::refusal::{Refusal, Result};

/// Rows of a file, in order; an absent value is null.
///
/// # Errors
/// A file that is not Parquet, or compressed otherwise than with Snappy or gzip.
pub fn rows(bytes: Vec<u8>) -> Result<Vec<serde_json::Map<String, serde_json::Value>>> {
    let wrong = |error: ParquetError| {
        Refusal::input(format!("le Parquet ne se lit pas : {error}"), format!("the Parquet cannot be read: {error}"))
    };
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(wrong)?;
    let mut rows = Vec::new();
    for row in reader.get_row_iter(None).map_err(wrong)? {
        if let serde_json::Value::Object(row) = row.map_err(wrong)?.to_json_value() {
            rows.push(row);
        }
    }
    Ok(rows)
}

/// A file of one row group, compressed with Snappy.
pub fn write(columns: &Columns) -> Result<Vec<u8>> {
    written(columns).map_err(|error| unwritten("Parquet", &error))
}

fn written(columns: &Columns) -> std::result::Result<Vec<u8>, ParquetError> {
    let fields = columns.0.iter().map(|(name, column)| {
        let (kind, logical) = match column {
            Column::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            Column::Number(_) => (Physical::DOUBLE, None),
        };
        let field = Type::primitive_type_builder(name, kind).with_logical_type(logical);
        Ok(Arc::new(field.with_repetition(Repetition::OPTIONAL).build()?))
    });
    let fields = fields.collect::<std::result::Result<Vec<_>, ParquetError>>()?;
    let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut file = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (_, column) in &columns.0 {
        let Some(mut writer) = group.next_column()? else { break };
        match column {
            Column::Text(cells) => {
                let there: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
                let values: Vec<ByteArray> =
                    cells.iter().flatten().map(|text| ByteArray::from(text.as_str())).collect();
                writer.typed::<ByteArrayType>().write_batch(&values, Some(&there), None)?;
            }
            Column::Number(cells) => {
                let there: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
                let values: Vec<f64> = cells.iter().flatten().copied().collect();
                writer.typed::<DoubleType>().write_batch(&values, Some(&there), None)?;
            }
        }
        writer.close()?;
    }
    group.close()?;
    file.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let texts = vec![Some("é".to_owned()), None, Some(String::new())];
        let numbers = vec![None, Some(-1.5), Some(0.0)];
        let columns = Columns(vec![("a".to_owned(), Column::Text(texts)), ("b".to_owned(), Column::Number(numbers))]);
        let read = rows(write(&columns).unwrap()).unwrap();
        let told: Vec<String> = read.into_iter().map(|row| serde_json::Value::Object(row).to_string()).collect();
        assert_eq!(told, [r#"{"a":"é","b":null}"#, r#"{"a":null,"b":-1.5}"#, r#"{"a":"","b":0.0}"#]);
        assert!(rows(b"PAR1 no".to_vec()).unwrap_err().fr.contains("Parquet"));
    }
}
