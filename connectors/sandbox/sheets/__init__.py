"""Google Sheets, as far as the connector and gspread need it: grids of cells, and the API over them."""
