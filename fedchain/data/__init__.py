"""A party's own table: reading, ids, labels, binning, hold-out, and the built-in example."""

from fedchain.data.binning import BinMapper, BinnedTable, bin_table
from fedchain.data.csv import read_table
from fedchain.data.feature import BinnedFeature
from fedchain.data.holdout import ThreeWay, stratified_holdout, three_way
from fedchain.data.ids import normalize_id, sort_ids
from fedchain.data.table import Column, Table

__all__ = [
    "BinMapper",
    "BinnedFeature",
    "BinnedTable",
    "Column",
    "Table",
    "ThreeWay",
    "bin_table",
    "normalize_id",
    "read_table",
    "sort_ids",
    "stratified_holdout",
    "three_way",
]
